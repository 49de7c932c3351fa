// What a reply says, in step with what is heard of it.
//
// Speech carries no times of its words: text is taken to pass evenly over the speech, exact at both ends. Until the
// speech is complete its length is guessed from the pace of the replies before.

const FIRST_CHARS_A_SEC = 14;

export class Pace {
  constructor() {
    this.chars = 0;
    this.sec = 0;
  }

  learn(chars, sec) {
    this.chars += chars;
    this.sec += sec;
  }

  get charsASec() {
    return this.sec > 1 ? this.chars / this.sec : FIRST_CHARS_A_SEC;
  }
}

export class Caption {
  constructor(item, pace) {
    this.item = item;
    this.pace = pace;
    this.text = "";
    this.sec = 0; // of speech that came
    this.playedSec = 0;
    this.complete = false;
    this.silent = true; // without speech the text is read as it comes
  }

  finish() {
    if (!this.complete && !this.silent) this.pace.learn(this.text.length, this.sec);
    this.complete = true;
  }

  // How many of the text's characters were heard, up to the end of a word.
  get heard() {
    if (this.silent) return this.text.length;
    if (this.complete && this.playedSec >= this.sec - 0.03) return this.text.length;
    const whole = this.complete ? this.sec : Math.max(this.sec, this.text.length / this.pace.charsASec);
    const near = Math.floor((this.text.length * this.playedSec) / (whole || 1));
    const space = this.text.indexOf(" ", near);
    return this.playedSec === 0 ? 0 : space < 0 ? Math.min(this.text.length, near + 12) : space;
  }
}
