/**
 * At most one commit per animation frame: what comes in between waits together. A page that nobody sees gets no
 * animation frames, so there each input is committed at once. Outside a browser likewise.
 */

/** What of the browser the batch needs; tests bring their own. */
export interface Screen {
  isHidden(): boolean;
  requestFrame(run: () => void): number;
  cancelFrame(handle: number): void;
  /** Calls back whenever the page is hidden or shown, until the returned function is called. */
  onVisibility(run: () => void): () => void;
}

export class Batch<T> {
  readonly #commit: (inputs: readonly T[]) => void;
  readonly #screen: Screen | null;
  #waiting: T[] = [];
  #frame: number | null = null;
  /** Commits what waits and hears of the screen no more. */
  readonly dispose: () => void;

  constructor(commit: (inputs: readonly T[]) => void, screen: Screen | null = browserScreen()) {
    this.#commit = commit;
    this.#screen = screen;
    const unhook = screen?.onVisibility(() => this.flush());
    this.dispose = () => {
      unhook?.();
      this.flush();
    };
  }

  /** Commits the input with the next animation frame. */
  push(input: T): void {
    this.#waiting.push(input);
    if (this.#screen === null || this.#screen.isHidden()) {
      this.flush();
    } else {
      this.#frame ??= this.#screen.requestFrame(() => this.flush());
    }
  }

  /** Commits the inputs now and together, after all that waits. */
  pushNow(...inputs: readonly T[]): void {
    this.#waiting.push(...inputs);
    this.flush();
  }

  /** Commits what waits. */
  flush(): void {
    if (this.#frame !== null) {
      this.#screen?.cancelFrame(this.#frame);
      this.#frame = null;
    }
    if (this.#waiting.length > 0) {
      const inputs = this.#waiting;
      this.#waiting = [];
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
