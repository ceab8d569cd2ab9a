/** Light, dark, or as the system has it. */

import { Monitor, Moon, Sun } from "lucide-react";
import { useState } from "react";
import { currentTheme, setTheme, THEMES } from "../lib/theme.ts";

const LOOKS = {
  system: { icon: Monitor, words: "As the system" },
  light: { icon: Sun, words: "Light" },
  dark: { icon: Moon, words: "Dark" },
};

export function ThemeSwitch() {
  const [theme, choose] = useState(currentTheme);
  return (
    <fieldset className="flex rounded-lg bg-raised p-0.5">
      <legend className="sr-only">Colours</legend>
      {THEMES.map((each) => {
        const { icon: Icon, words } = LOOKS[each];
        return (
          <label
            key={each}
            title={words}
            className="grid size-7 cursor-pointer place-items-center rounded-md text-subtle transition-colors hover:text-foreground has-checked:bg-knob has-checked:text-foreground has-checked:shadow-xs has-focus-visible:outline-2 has-focus-visible:outline-ring"
          >
            <input
              type="radio"
              name="theme"
              aria-label={words}
              checked={theme === each}
              onChange={() => {
                setTheme(each);
                choose(each);
              }}
              className="sr-only"
            />
            <Icon className="size-3.5" aria-hidden="true" />
          </label>
        );
      })}
    </fieldset>
  );
}
