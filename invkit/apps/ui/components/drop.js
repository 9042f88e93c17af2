// An area where a visitor drops or chooses a photograph. It sends the file and emits the server's answer.
export default {
  template: `
    <label class="drop" :class="{over, busy}"
        @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="dropped">
      <input type="file" :accept="accept" :disabled="busy" @change="chosen">
      <strong>{{ busy ? "Reading the photo …" : title }}</strong>
      <span>{{ hint }}</span>
    </label>`,
  props: { address: String, accept: String, title: String, hint: String, maxBytes: Number, tooLarge: String },
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
      if (file.size > this.maxBytes) return this.$emit("refused", this.tooLarge);
      this.busy = true;
      try {
        // a browser does not let other sites send this header
        const headers = { "X-Invkit": "upload", "Content-Type": "application/octet-stream" };
        const url = `${window.path_prefix || ""}${this.address}?name=${encodeURIComponent(file.name)}`;
        const answer = await (await fetch(url, { method: "POST", headers, body: file })).json();
        if (answer.error) this.$emit("refused", answer.error);
        else this.$emit("uploaded", answer.upload);
      } catch {
        this.$emit("refused", "the photo could not be sent; is invkit still running?");
      } finally {
        this.busy = false;
      }
    },
  },
};
