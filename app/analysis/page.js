document.querySelectorAll("button[data-sec]").forEach((button) => {
  button.addEventListener("click", () => {
    const video = button.closest("article").querySelector("video");
    if (!video) return;
    video.currentTime = Number(button.dataset.sec);
    video.play();
    video.scrollIntoView({ block: "center" });
  });
});
document.getElementById("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  let count = 0;
  document.querySelectorAll("article").forEach((article) => {
    const inHead = [...article.querySelectorAll("h2, .answer, .problem")].some((part) => part.textContent.toLowerCase().includes(wanted));
    let inSegments = 0;
    article.querySelectorAll("li").forEach((line) => {
      const hit = line.textContent.toLowerCase().includes(wanted);
      inSegments += hit;
      line.hidden = !hit && !inHead;
    });
    article.hidden = !inHead && !inSegments;
    count += !article.hidden;
  });
  document.getElementById("found").textContent = wanted ? `${count} found` : "";
});
