// The photograph, on which a visitor selects a region by dragging, or with keys while the photograph has the focus.
const MIN_SIDE = 16; // pixels of the photograph; a smaller region is a click or a slip of the hand
const GRIP = 18; // pixels of the screen; a pointer that is so close to a corner holds it
const STEP = 0.02; // fraction of the photograph for one press of a key

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export default {
  template: `
    <div class="crop">
      <div ref="frame" class="crop-frame" :class="{selected: region}" :style="{'--shape': width / height}" tabindex="0" role="group" :aria-label="help"
          @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up" @keydown="key">
        <img :src="src" alt="" draggable="false">
        <div v-if="region" class="crop-region" :style="box"><i v-for="corner in 4" :key="corner"></i></div>
      </div>
      <div class="crop-line">
        <span aria-live="polite">{{ text }}</span>
        <button v-if="region" type="button" class="plain" @click="clear">Whole photo</button>
        <button v-else type="button" class="plain" @click="center">Select a region</button>
      </div>
    </div>`,
  props: { src: String, width: Number, height: Number },
  data() {
    return { region: null, held: null };
  },
  computed: {
    help() {
      return "The photo. Enter selects a region. Arrow keys move it, and with Shift they change its size. Escape clears it.";
    },
    box() {
      const percent = (value) => `${100 * value}%`;
      const { x, y, w, h } = this.region;
      return { left: percent(x), top: percent(y), width: percent(w), height: percent(h) };
    },
    pixels() {
      if (!this.region) return null;
      const left = Math.round(this.region.x * this.width), top = Math.round(this.region.y * this.height);
      return {
        left, top,
        width: clamp(Math.round(this.region.w * this.width), 1, this.width - left),
        height: clamp(Math.round(this.region.h * this.height), 1, this.height - top),
      };
    },
    text() {
      const whole = `${this.width} × ${this.height} pixels`;
      return this.pixels ? `Region: ${this.pixels.width} × ${this.pixels.height} pixels` : `Whole photo: ${whole}`;
    },
  },
  watch: {
    src() {
      this.region = null;
    },
  },
  methods: {
    at(event) {
      const frame = this.$refs.frame.getBoundingClientRect();
      return {
        x: clamp((event.clientX - frame.left) / frame.width, 0, 1),
        y: clamp((event.clientY - frame.top) / frame.height, 0, 1),
        nearX: GRIP / frame.width,
        nearY: GRIP / frame.height,
      };
    },
    down(event) {
      if (event.pointerType !== "mouse" && !this.region) return; // until a region is selected, a finger scrolls the page
      const at = this.at(event);
      this.held = this.grip(at);
      this.$refs.frame.setPointerCapture(event.pointerId);
    },
    grip(at) {
      const p = this.region;
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
        this.place(at.x - offset.x, at.y - offset.y, this.region.w, this.region.h);
      } else {
        this.region = { x: Math.min(at.x, from.x), y: Math.min(at.y, from.y),
                        w: Math.abs(at.x - from.x), h: Math.abs(at.y - from.y) };
      }
    },
    up() {
      if (!this.held) return;
      this.held = null;
      if (this.region && (this.pixels.width < MIN_SIDE || this.pixels.height < MIN_SIDE)) this.region = null;
      this.report();
    },
    key(event) {
      const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const arrow = arrows[event.key];
      if (event.target !== this.$refs.frame) return;
      if (event.key === "Enter" && !this.region) this.center();
      else if (event.key === "Escape" && this.region) this.clear();
      else if (arrow && this.region) this.nudge(arrow[0] * STEP, arrow[1] * STEP, event.shiftKey);
      else return;
      event.preventDefault();
    },
    nudge(dx, dy, resize) {
      const { x, y, w, h } = this.region;
      if (resize) this.place(x, y, clamp(w + dx, STEP, 1 - x), clamp(h + dy, STEP, 1 - y));
      else this.place(x + dx, y + dy, w, h);
      this.report();
    },
    place(x, y, w, h) {
      this.region = { x: clamp(x, 0, 1 - w), y: clamp(y, 0, 1 - h), w, h };
    },
    center() {
      this.region = { x: 0.25, y: 0.25, w: 0.5, h: 0.5 };
      this.report();
    },
    clear() {
      this.region = null;
      this.report();
    },
    report() {
      this.$emit("selected", this.pixels);
    },
  },
};
