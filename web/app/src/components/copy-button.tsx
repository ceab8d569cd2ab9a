/** A button that copies text and confirms it briefly. */

import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { copyText } from "../lib/browser/clipboard.ts";
import { IconButton } from "./ui/button.tsx";

const SHOWN_MS = 1_600;

interface Props {
  text: string;
  /** Names the text in the button's label. */
  what: string;
  size?: "icon" | "mini";
}

export function CopyButton({ text, what, size = "icon" }: Props) {
  const [isCopied, setCopied] = useState(false);

  useEffect(() => {
    if (isCopied) {
      const timer = setTimeout(() => setCopied(false), SHOWN_MS);
      return () => clearTimeout(timer);
    }
  }, [isCopied]);

  return (
    <IconButton
      label={isCopied ? "Copied" : `Copy ${what}`}
      icon={isCopied ? Check : Copy}
      size={size}
      onClick={async () => setCopied(await copyText(text))}
    />
  );
}
