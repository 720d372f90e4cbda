"use strict";

const element = (id) => document.getElementById(id);
const TYPES = ["metadata", "status", "progress", "event", "artifact", "text", "end"];
let current = null;

class Watching {
  constructor(found, by) {
    this.found = found;
    this.by = by;
    this.last = null;
    this.done = false;
    this.answer = "";
    this.used = "";
    this.connect();
  }

  connect() {
    if (this.by === "events") {
      // The browser comes back by itself when the connection breaks, and sends the last id that it has.
      this.source = new EventSource(this.found.events);
      for (const type of TYPES) {
        this.source.addEventListener(type, (event) => this.take(JSON.parse(event.data)));
      }
      this.source.addEventListener("error", () => this.lost(this.source.readyState === EventSource.CLOSED));
      this.source.addEventListener("open", () => show("Watching."));
    } else {
      const query = this.last === null ? "" : `?after=${encodeURIComponent(this.last)}`;
      this.socket = new WebSocket(`ws://${location.host}${this.found.socket}${query}`);
      this.socket.addEventListener("message", (event) => this.take(JSON.parse(event.data)));
      this.socket.addEventListener("open", () => show("Watching."));
      this.socket.addEventListener("close", () => {
        this.lost(false);
        if (!this.done && current === this) {
          setTimeout(() => this.connect(), 1000);
        }
      });
    }
  }

  lost(forGood) {
    if (!this.done && current === this) {
      show(forGood ? "The run is gone." : "Connection lost, coming back ...");
    }
  }

  take(message) {
    if (message.event_id) {
      this.last = message.event_id;
    }
    if (message.type === "text") {
      // Where it belongs is said with it: after a new connection all of the text comes again.
      this.answer = this.answer.slice(0, message.offset) + message.text;
      element("answer").textContent = this.answer;
      return;
    }
    log(message);
    if (message.type === "status" && message.stage !== null) {
      mark(message);
    } else if (message.type === "artifact" && message.artifact === "usage") {
      this.used = usage(message.payload);
    } else if (message.type === "end") {
      this.done = true;
      this.close();
      const why = message.reason ? `: ${message.reason}` : "";
      show(`${message.status} after ${Math.round(message.duration_ms)} ms${why}${this.used}`);
      finish();
    }
  }

  cancel() {
    if (this.by === "socket" && this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ cancel: "cancelled on the page" }));
    } else {
      fetch(`/runs/${this.found.run_id}`, { method: "DELETE" });
    }
  }

  interrupt() {
    if (this.by === "socket") {
      this.socket.close();
    } else {
      // A browser keeps the id only for its own new connections: this one gets all from the beginning.
      this.source.close();
      show("Connection lost, coming back ...");
      setTimeout(() => this.connect(), 1000);
    }
  }

  close() {
    (this.source || this.socket).close();
  }
}

function show(text) {
  element("state").textContent = text;
}

function mark(message) {
  const id = `stage-${message.stage}`;
  const item = element(id) || element("stages").appendChild(Object.assign(document.createElement("li"), { id }));
  item.className = message.status;
  const took = message.duration_ms == null ? "" : ` ${Math.round(message.duration_ms)} ms`;
  item.textContent = `${message.stage}: ${message.status}${took}`;
}

function log(message) {
  const { type, sequence, run_id, event_id, timestamp, ...rest } = message;
  if (document.querySelector(`[data-sequence="${sequence}"]`)) {
    return;
  }
  const item = element("messages").appendChild(document.createElement("li"));
  item.value = sequence;
  item.dataset.sequence = sequence;
  item.textContent = `${type} ${JSON.stringify(rest)}`;
}

function usage(used) {
  const cut = used.finish_reason === "length" ? ", cut off" : "";
  const tokens = used.completion_tokens === undefined ? "" : `, ${used.prompt_tokens} + ${used.completion_tokens} tokens`;
  return ` (${used.model}${tokens}${cut})`;
}

function finish() {
  element("cancel").disabled = element("break").disabled = true;
}

element("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  if (current) {
    current.done = true;
    current.close();
  }
  for (const id of ["answer", "stages", "messages"]) {
    element(id).textContent = "";
  }
  show("Asking ...");
  const response = await fetch("/runs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text: form.get("text"), pipeline: form.get("pipeline") }),
  });
  const found = await response.json();
  if (!response.ok) {
    show(found.problem);
    return;
  }
  current = new Watching(found, form.get("by"));
  element("cancel").disabled = element("break").disabled = false;
});
element("cancel").addEventListener("click", () => current.cancel());
element("break").addEventListener("click", () => current.interrupt());
fetch("/pipelines").then((response) => response.json()).then(({ pipelines }) => {
  element("pipeline").append(...pipelines.map((name) => new Option(name)));
});
