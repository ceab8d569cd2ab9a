/**
 * Keeps the end of something that grows in sight, until the person scrolls up; then it stays where it is, whatever comes,
 * until they are back at the end. What the person does always counts for more than what comes in at the same moment.
 */

import { type RefObject, useEffect, useRef, useState } from "react";

/** This close to the end is the end. */
const NEAR_PX = 24;
/** Further away than this, the way back is worth a button. */
const AWAY_PX = 120;

export interface Follow {
  /** What scrolls. */
  readonly box: RefObject<HTMLDivElement | null>;
  /** What grows in it. */
  readonly content: RefObject<HTMLDivElement | null>;
  /** Whether the person has left the end for good. */
  readonly isAway: boolean;
  /** Back to the end, and on with it. */
  readonly toEnd: () => void;
}

export function useFollow(): Follow {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const toEnd = useRef(() => {});
  const [isAway, setAway] = useState(false);

  useEffect(() => {
    const [outer, inner] = [box.current, content.current];
    if (outer === null || inner === null) {
      return;
    }
    let isFollowing = true;
    // Where the box was last seen: a scroll that came of following ends there, one of the person does not.
    let lastTop = outer.scrollTop;
    const distance = () => outer.scrollHeight - outer.clientHeight - outer.scrollTop;
    const follow = () => {
      if (isFollowing) {
        outer.scrollTop = outer.scrollHeight;
        lastTop = outer.scrollTop;
      }
    };
    toEnd.current = () => {
      isFollowing = true;
      setAway(false);
      follow();
    };
    const onWheel = (event: WheelEvent) => {
      if (event.deltaY < 0 && outer.scrollHeight > outer.clientHeight) {
        isFollowing = false;
      }
    };
    const onScroll = () => {
      const top = outer.scrollTop;
      if (top < lastTop - 1 && distance() > 1) {
        isFollowing = false;
      } else if (top > lastTop && distance() <= NEAR_PX) {
        isFollowing = true;
      }
      lastTop = top;
      setAway(!isFollowing && distance() > AWAY_PX);
    };
    const observer = new ResizeObserver(() => {
      follow();
      setAway(!isFollowing && distance() > AWAY_PX);
    });
    observer.observe(outer);
    observer.observe(inner);
    outer.addEventListener("wheel", onWheel, { passive: true });
    outer.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      observer.disconnect();
      outer.removeEventListener("wheel", onWheel);
      outer.removeEventListener("scroll", onScroll);
    };
  }, []);

  const stableToEnd = useRef(() => toEnd.current());
  return { box, content, isAway, toEnd: stableToEnd.current };
}
