// Two pictures in one frame with a movable line between them. The line is a range input, which keys and fingers can move.
export default {
  template: `
    <figure class="compare" :style="{ '--shape': width / height, '--at': at + '%' }">
      <img :src="after" alt="The restored photo" draggable="false">
      <img :src="before" alt="The photo before the restoration" class="compare-before" draggable="false">
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
