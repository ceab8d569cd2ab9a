/** A modal drawer at the side of the page. Escape, a click beside it or a selection in it closes it. */

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
