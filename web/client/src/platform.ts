/** The browser features that a connection needs besides its socket: clock, randomness, page events and storage. */

export interface Platform {
  /** Current Unix time in milliseconds. */
  now(): number;
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  random(): number;
  /** Calls `run` once after `ms` milliseconds; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
  isHidden(): boolean;
  /** Calls `run` when the network state changes or the page is shown, until the returned function is called. */
  onWake(run: () => void): () => void;
  /** Storage that lives as long as the tab and survives reloads; null if there is none. */
  readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
}

/** The platform of a browser page. Works without a page too, such as in Node.js. */
export function browserPlatform(): Platform {
  const hasPage = typeof document !== "undefined";
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    after: (ms, run) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    isHidden: () => hasPage && document.hidden,
    onWake: (run) => {
      const listeners = new AbortController();
      if (hasPage) {
        const { signal } = listeners;
        addEventListener("online", run, { signal });
        addEventListener("offline", run, { signal });
        document.addEventListener("visibilitychange", () => document.hidden || run(), { signal });
      }
      return () => listeners.abort();
    },
    storage: tabStorage(),
  };
}

/** The tab's storage; null if the browser blocks it, in which case the property throws. */
function tabStorage(): Platform["storage"] {
  try {
    return typeof document === "undefined" ? null : sessionStorage;
  } catch {
    return null;
  }
}
