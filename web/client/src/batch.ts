/**
 * Batches inputs into at most one commit per animation frame. A hidden page gets no animation frames, so there, and
 * outside a browser, each input is committed immediately.
 */

/** The part of the browser that the batch needs; tests pass their own. */
export interface Screen {
  isHidden(): boolean;
  requestFrame(run: () => void): number;
  cancelFrame(handle: number): void;
  /** Calls `run` whenever the page is hidden or shown, until the returned function is called. */
  onVisibility(run: () => void): () => void;
}

export class Batch<T> {
  readonly #commit: (inputs: readonly T[]) => void;
  readonly #screen: Screen | null;
  #pending: T[] = [];
  #frame: number | null = null;
  /** Commits pending inputs and removes the listener. */
  readonly dispose: () => void;

  constructor(commit: (inputs: readonly T[]) => void, screen: Screen | null = browserScreen()) {
    this.#commit = commit;
    this.#screen = screen;
    const removeListener = screen?.onVisibility(() => this.flush());
    this.dispose = () => {
      removeListener?.();
      this.flush();
    };
  }

  /** Commits the input in the next animation frame. */
  push(input: T): void {
    this.#pending.push(input);
    if (this.#screen === null || this.#screen.isHidden()) {
      this.flush();
    } else {
      this.#frame ??= this.#screen.requestFrame(() => this.flush());
    }
  }

  /** Commits the pending inputs and then these, now and in one commit. */
  pushNow(...inputs: readonly T[]): void {
    this.#pending.push(...inputs);
    this.flush();
  }

  /** Commits the pending inputs now. */
  flush(): void {
    if (this.#frame !== null) {
      this.#screen?.cancelFrame(this.#frame);
      this.#frame = null;
    }
    if (this.#pending.length > 0) {
      const inputs = this.#pending;
      this.#pending = [];
      this.#commit(inputs);
    }
  }
}

function browserScreen(): Screen | null {
  if (typeof document === "undefined") {
    return null;
  }
  return {
    isHidden: () => document.hidden,
    requestFrame: (run) => requestAnimationFrame(run),
    cancelFrame: (handle) => cancelAnimationFrame(handle),
    onVisibility: (run) => {
      document.addEventListener("visibilitychange", run);
      return () => document.removeEventListener("visibilitychange", run);
    },
  };
}
