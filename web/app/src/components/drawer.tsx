/** Lies over the page from its side, until it is left: by Escape, by a press beside it, or by what is chosen in it. */

import { type ReactNode, useEffect, useRef } from "react";

interface Props {
  label: string;
  onClose: () => void;
  children: ReactNode;
}

export function Drawer({ label, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);

  useEffect(() => dialog.current?.showModal(), []);

  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      aria-label={label}
      onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && onClose()}
      className="m-0 h-dvh max-h-none w-[min(19rem,85vw)] max-w-none animate-slide border-e border-line bg-sunken text-foreground shadow-xl backdrop:animate-fade backdrop:bg-black/40"
    >
      {children}
    </dialog>
  );
}
