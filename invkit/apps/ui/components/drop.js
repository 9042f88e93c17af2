// A place to drop a photograph, or to choose one; sends the file as it is and says what the server made of it.
export default {
  template: `
    <label class="drop" :class="{over, busy}"
        @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="dropped">
      <input type="file" :accept="accept" :disabled="busy" @change="chosen">
      <strong>{{ busy ? "Reading the photo …" : title }}</strong>
      <span>{{ hint }}</span>
    </label>`,
  props: { url: String, accept: String, title: String, hint: String, mostBytes: Number, tooLarge: String },
  data() {
    return { over: false, busy: false };
  },
  methods: {
    dropped(event) {
      this.over = false;
      if (event.dataTransfer.files.length) this.send(event.dataTransfer.files[0]);
    },
    chosen(event) {
      if (event.target.files.length) this.send(event.target.files[0]);
      event.target.value = ""; // the same file may be chosen again
    },
    async send(file) {
      if (this.busy) return;
      if (file.size > this.mostBytes) return this.$emit("refused", this.tooLarge);
      this.busy = true;
      try {
        // a header of our own: a browser lets no other site send it without asking us first
        const headers = { "X-Invkit": "upload", "Content-Type": "application/octet-stream" };
        const url = `${window.path_prefix || ""}${this.url}?name=${encodeURIComponent(file.name)}`;
        const answer = await (await fetch(url, { method: "POST", headers, body: file })).json();
        if (answer.words) this.$emit("refused", answer.words);
        else this.$emit("taken", answer.upload);
      } catch {
        this.$emit("refused", "the photo could not be sent; is invkit still running?");
      } finally {
        this.busy = false;
      }
    },
  },
};
