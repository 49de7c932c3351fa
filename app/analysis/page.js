for (const article of document.querySelectorAll("article")) {
  const video = article.querySelector("video");
  if (!video) continue;
  for (const place of article.querySelectorAll("[data-sec]")) {
    place.addEventListener("click", () => {
      video.currentTime = Number(place.dataset.sec);
      video.play().catch(() => {}); // a file that has gone: the player says so itself
      video.scrollIntoView({ block: "nearest" });
    });
  }
  const lines = article.querySelectorAll("li");
  video.addEventListener("timeupdate", () => {
    for (const line of lines) {
      const inside = video.currentTime >= Number(line.dataset.from) && video.currentTime < Number(line.dataset.to);
      line.toggleAttribute("aria-current", inside);
    }
  });
}

const holds = (part, wanted) => part.textContent.toLowerCase().includes(wanted);
document.getElementById("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  let videos = 0, places = 0;
  for (const article of document.querySelectorAll("article")) {
    const whole = [...article.querySelectorAll("h2, .answer, .problem")].some((part) => holds(part, wanted));
    let hits = 0;
    for (const line of article.querySelectorAll("li")) {
      const hit = holds(line, wanted);
      hits += hit;
      line.hidden = !hit && !whole;
    }
    article.hidden = !whole && !hits;
    videos += !article.hidden;
    places += hits;
  }
  const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const told = places ? `${counted(places, "place")} in ${counted(videos, "video")}` : counted(videos, "video");
  document.getElementById("found").textContent = !wanted ? "" : videos ? told : "nothing found";
});
