// Before and after in one frame, with a line to move between them: a range input, so that keys and touch work as usual.
export default {
  template: `
    <figure class="compare" :style="{ '--shape': width / height, '--at': at + '%' }">
      <img :src="after" alt="The photo, restored" draggable="false">
      <img :src="before" alt="The photo before" class="compare-before" draggable="false">
      <span class="compare-name">Before</span><span class="compare-name compare-right">After</span>
      <input type="range" min="0" max="100" step="0.5" v-model.number="at" :aria-valuetext="Math.round(at) + ' percent before'"
          aria-label="Line between before and after">
      <div class="compare-line"><b></b></div>
    </figure>`,
  props: { before: String, after: String, width: Number, height: Number },
  data() {
    return { at: 50 };
  },
};
