// The photograph, on which a part may be marked: by dragging, or by keys once the photograph has the focus.
const LEAST = 16; // pixels of the photograph: a smaller part is a slip of the hand, or a click
const NEAR = 18; // pixels of the screen from a corner that take hold of it
const STEP = 0.02; // of the photograph, for one press of a key

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export default {
  template: `
    <div class="crop">
      <div ref="frame" class="crop-frame" :class="{marked: part}" :style="{'--shape': width / height}" tabindex="0" role="group" :aria-label="help"
          @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up" @keydown="key">
        <img :src="src" alt="" draggable="false">
        <div v-if="part" class="crop-part" :style="box"><i v-for="corner in 4" :key="corner"></i></div>
      </div>
      <div class="crop-line">
        <span aria-live="polite">{{ words }}</span>
        <button v-if="part" type="button" class="plain" @click="clear">Whole photo</button>
        <button v-else type="button" class="plain" @click="centre">Mark a part</button>
      </div>
    </div>`,
  props: { src: String, width: Number, height: Number },
  data() {
    return { part: null, held: null };
  },
  computed: {
    help() {
      return "The photo. Enter marks a part; arrow keys move it, with shift they change its size; Escape clears it.";
    },
    box() {
      const percent = (value) => `${100 * value}%`;
      const { x, y, w, h } = this.part;
      return { left: percent(x), top: percent(y), width: percent(w), height: percent(h) };
    },
    pixels() {
      if (!this.part) return null;
      const left = Math.round(this.part.x * this.width), top = Math.round(this.part.y * this.height);
      return {
        left, top,
        width: clamp(Math.round(this.part.w * this.width), 1, this.width - left),
        height: clamp(Math.round(this.part.h * this.height), 1, this.height - top),
      };
    },
    words() {
      const whole = `${this.width} × ${this.height} pixels`;
      return this.pixels ? `Part: ${this.pixels.width} × ${this.pixels.height} pixels` : `Whole photo: ${whole}`;
    },
  },
  watch: {
    src() {
      this.part = null;
    },
  },
  methods: {
    at(event) {
      const frame = this.$refs.frame.getBoundingClientRect();
      return {
        x: clamp((event.clientX - frame.left) / frame.width, 0, 1),
        y: clamp((event.clientY - frame.top) / frame.height, 0, 1),
        nearX: NEAR / frame.width,
        nearY: NEAR / frame.height,
      };
    },
    down(event) {
      if (event.pointerType !== "mouse" && !this.part) return; // a finger scrolls the page until a part is marked
      const at = this.at(event);
      this.held = this.grip(at);
      this.$refs.frame.setPointerCapture(event.pointerId);
    },
    grip(at) {
      const p = this.part;
      if (!p) return { from: at };
      const left = Math.abs(at.x - p.x) < at.nearX, right = Math.abs(at.x - p.x - p.w) < at.nearX;
      const top = Math.abs(at.y - p.y) < at.nearY, bottom = Math.abs(at.y - p.y - p.h) < at.nearY;
      if ((left || right) && (top || bottom)) {
        return { from: { x: left ? p.x + p.w : p.x, y: top ? p.y + p.h : p.y } };
      }
      const inside = at.x > p.x && at.x < p.x + p.w && at.y > p.y && at.y < p.y + p.h;
      return inside ? { offset: { x: at.x - p.x, y: at.y - p.y } } : { from: at };
    },
    move(event) {
      if (!this.held) return;
      const at = this.at(event), { from, offset } = this.held;
      if (offset) {
        this.place(at.x - offset.x, at.y - offset.y, this.part.w, this.part.h);
      } else {
        this.part = { x: Math.min(at.x, from.x), y: Math.min(at.y, from.y),
                      w: Math.abs(at.x - from.x), h: Math.abs(at.y - from.y) };
      }
    },
    up() {
      if (!this.held) return;
      this.held = null;
      if (this.part && (this.pixels.width < LEAST || this.pixels.height < LEAST)) this.part = null;
      this.tell();
    },
    key(event) {
      const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const way = arrows[event.key];
      if (event.target !== this.$refs.frame) return;
      if (event.key === "Enter" && !this.part) this.centre();
      else if (event.key === "Escape" && this.part) this.clear();
      else if (way && this.part) this.nudge(way[0] * STEP, way[1] * STEP, event.shiftKey);
      else return;
      event.preventDefault();
    },
    nudge(dx, dy, resize) {
      const { x, y, w, h } = this.part;
      if (resize) this.place(x, y, clamp(w + dx, STEP, 1 - x), clamp(h + dy, STEP, 1 - y));
      else this.place(x + dx, y + dy, w, h);
      this.tell();
    },
    place(x, y, w, h) {
      this.part = { x: clamp(x, 0, 1 - w), y: clamp(y, 0, 1 - h), w, h };
    },
    centre() {
      this.part = { x: 0.25, y: 0.25, w: 0.5, h: 0.5 };
      this.tell();
    },
    clear() {
      this.part = null;
      this.tell();
    },
    tell() {
      this.$emit("marked", this.pixels);
    },
  },
};
