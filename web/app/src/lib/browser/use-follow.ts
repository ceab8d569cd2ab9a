/**
 * Keeps the end of growing content in view. Following stops when the person scrolls up and resumes when they are back
 * at the end. The person's scrolling takes precedence over content that arrives at the same moment.
 */

import { type RefObject, useEffect, useRef, useState } from "react";

/** Distance from the end that still counts as the end. */
const NEAR_PX = 24;
/** Distance from the end beyond which the jump button appears. */
const AWAY_PX = 120;

export interface Follow {
  /** The scroll container. */
  readonly box: RefObject<HTMLDivElement | null>;
  /** The growing content in it. */
  readonly content: RefObject<HTMLDivElement | null>;
  /** True if the person has scrolled away from the end. */
  readonly isAway: boolean;
  /** Scrolls to the end and follows it again. */
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
    // Last known position. A scroll caused by following ends there; a scroll by the person does not.
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
