/** What of the browser a connection needs besides its socket: a clock, chance, and when the page is back. */

export interface Platform {
  /** Milliseconds since 1970. */
  now(): number;
  /** At least 0, less than 1. */
  random(): number;
  /** Runs once after so many milliseconds, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void;
  isHidden(): boolean;
  /** Calls back whenever the network comes or goes or the page is shown again, until the returned function is called. */
  onWake(run: () => void): () => void;
  /** What lasts as long as the tab, a reload included; null where there is no such thing. */
  readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
}

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
      const heard = new AbortController();
      if (hasPage) {
        const { signal } = heard;
        addEventListener("online", run, { signal });
        addEventListener("offline", run, { signal });
        document.addEventListener("visibilitychange", () => document.hidden || run(), { signal });
      }
      return () => heard.abort();
    },
    storage: tabStorage(),
  };
}

/** A browser that is told to keep nothing throws when it is asked for its storage. */
function tabStorage(): Platform["storage"] {
  try {
    return typeof document === "undefined" ? null : sessionStorage;
  } catch {
    return null;
  }
}
