/** Switches between the system's theme, light and dark. */

import { Monitor, Moon, Sun } from "lucide-react";
import { useId, useState } from "react";
import { currentTheme, setTheme, THEMES } from "../lib/browser/theme.ts";

const LOOKS = {
  system: { icon: Monitor, label: "System theme" },
  light: { icon: Sun, label: "Light" },
  dark: { icon: Moon, label: "Dark" },
};

export function ThemeSwitch() {
  const name = useId();
  const [theme, choose] = useState(currentTheme);
  return (
    <fieldset className="flex rounded-lg bg-raised p-0.5">
      <legend className="sr-only">Theme</legend>
      {THEMES.map((each) => {
        const { icon: Icon, label } = LOOKS[each];
        return (
          <label
            key={each}
            title={label}
            className="relative grid size-7 cursor-pointer place-items-center rounded-md text-subtle transition-colors hover:text-foreground has-checked:bg-knob has-checked:text-foreground has-checked:shadow-xs has-focus-visible:outline-2 has-focus-visible:outline-ring"
          >
            <input
              type="radio"
              name={name}
              aria-label={label}
              checked={theme === each}
              onChange={() => {
                setTheme(each);
                choose(each);
              }}
              className="absolute inset-0 cursor-pointer opacity-0"
            />
            <Icon className="size-3.5" aria-hidden="true" />
          </label>
        );
      })}
    </fieldset>
  );
}
