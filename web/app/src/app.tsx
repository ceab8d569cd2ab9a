/** The page: who is on it and where. Reads the session, hands down what each part needs; knows no frames. */

import type { MayflyClient } from "@mayfly/client";
import { useSession } from "@mayfly/client/react";
import { canSend, runningTurn } from "@mayfly/client/state";
import { useEffect, useState } from "react";
import { Announcer } from "./components/announcer.tsx";
import { Composer } from "./components/composer.tsx";
import { Conversation } from "./components/conversation.tsx";
import { EndCard } from "./components/end-card.tsx";
import { ExpiringBanner } from "./components/expiring-banner.tsx";
import { Header } from "./components/header.tsx";
import { RetryBanner } from "./components/retry-banner.tsx";
import { describeEnd, describeTrouble } from "./lib/describe.ts";

export function App({ client }: { client: MayflyClient }) {
  const state = useSession(client);
  const [draft, setDraft] = useState("");
  const running = runningTurn(state)?.turn ?? null;
  const end = describeEnd(state);
  const trouble = describeTrouble(state);
  const { expiring, retryAtMs } = state;

  useEscape(running === null ? null : () => client.stop(running));

  return (
    <div className="flex h-dvh flex-col">
      <Header state={state} onEnd={() => client.bye()} />
      <Conversation
        state={state}
        onSend={(text) => client.send(text)}
        onStop={(turn) => client.stop(turn)}
        onAgain={() => client.regenerate()}
      />
      <div className="mx-auto w-full max-w-column px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-4">
        {trouble !== null && (
          <RetryBanner
            trouble={trouble}
            retryAtMs={retryAtMs}
            isRefused={state.end.failure !== null}
            onRetry={() => client.retryNow()}
          />
        )}
        {end === null && expiring !== null && (
          <ExpiringBanner expiring={expiring} onExtend={() => client.extend()} />
        )}
        {end === null ? (
          <Composer
            draft={draft}
            onDraft={setDraft}
            isOpen={canSend(state)}
            notice={state.notice?.message ?? null}
            onSend={(text) => client.send(text)}
            onStop={running === null ? null : () => client.stop(running)}
            onEmptyEnter={expiring?.canExtend ? () => client.extend() : null}
          />
        ) : (
          <EndCard end={end} onNew={() => client.begin()} onBack={() => client.connect()} />
        )}
      </div>
      <Announcer state={state} />
    </div>
  );
}

/** Calls back when Escape is pressed anywhere, unless it ends the input of a character. */
function useEscape(run: (() => void) | null) {
  useEffect(() => {
    if (run === null) {
      return;
    }
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.isComposing && !event.defaultPrevented) {
        run();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [run]);
}
