/** One conversation: its head, what was said, and what can be done now. Reads the session, hands down what each part needs. */

import { useSession } from "@mayfly/client/react";
import { canSend, runningTurn, type SessionState } from "@mayfly/client/state";
import { type Conversation, type Conversations, titleOf } from "../lib/conversations.ts";
import { describeEnd, describeLine, describeTrouble, type EndWords, unanswered } from "../lib/describe.ts";
import { download, toMarkdown } from "../lib/export.ts";
import { useKey } from "../lib/use-key.ts";
import { useOnline } from "../lib/use-online.ts";
import { Announcer } from "./announcer.tsx";
import { Composer, type Fate } from "./composer.tsx";
import { EndCard } from "./end-card.tsx";
import { ExpiringBanner } from "./expiring-banner.tsx";
import { Header } from "./header.tsx";
import { LineBanner } from "./line-banner.tsx";
import { RetryBanner } from "./retry-banner.tsx";
import { Transcript } from "./transcript.tsx";

interface Props {
  conversation: Conversation;
  conversations: Conversations;
  onMenu: () => void;
}

export function Chat({ conversation, conversations, onMenu }: Props) {
  const { client, draft, id } = conversation;
  const state = useSession(client);
  const isOnline = useOnline();
  const title = titleOf(conversation, state);
  const running = runningTurn(state)?.turn ?? null;
  const end = describeEnd(state);
  const trouble = describeTrouble(state, isOnline);
  const line = describeLine(state);
  const { expiring, retryAtMs } = state;

  const send = (text: string) => {
    // Whoever goes on in a conversation that is over wants another agent.
    if (!canSend(state)) {
      client.begin();
    }
    client.send(text);
  };
  const again = () => {
    const text = unanswered(state);
    client.begin();
    if (text !== null) {
      client.send(text);
    }
  };
  useKey("Escape", {}, running === null ? null : () => client.stop(running));

  return (
    <div className="flex min-w-0 flex-1 flex-col">
      <Header
        state={state}
        title={title}
        onMenu={onMenu}
        onExport={() => download(title, toMarkdown(title, state))}
        onEnd={() => client.bye()}
      />
      <Transcript
        state={state}
        onSend={send}
        onStop={(turn) => client.stop(turn)}
        onAgain={() => client.regenerate()}
      />
      <div className="mx-auto w-full max-w-column px-3 pb-[max(0.5rem,env(safe-area-inset-bottom))] sm:px-4">
        {trouble !== null && (
          <RetryBanner trouble={trouble} retryAtMs={retryAtMs} onRetry={() => client.retryNow()} />
        )}
        {line !== null && <LineBanner words={line} />}
        {end === null && expiring !== null && (
          <ExpiringBanner expiring={expiring} onExtend={() => client.extend()} />
        )}
        {end !== null && (
          <EndCard
            end={end}
            onWay={{
              anew: () => client.begin(),
              again,
              here: () => client.connect(),
              retry: () => client.connect(),
              reload: () => location.reload(),
            }}
            isKeyRefused={conversations.keyring.isRefused}
            onKey={(key) => conversations.giveKey(key)}
          />
        )}
        <Composer
          draft={draft}
          onDraft={(text) => conversations.setDraft(id, text)}
          fate={fateOf(state, end)}
          notice={state.notice?.message ?? null}
          onSend={send}
          onStop={running === null ? null : () => client.stop(running)}
          onEmptyEnter={expiring?.canExtend ? () => client.extend() : null}
        />
      </div>
      <Announcer state={state} isOnline={isOnline} />
    </div>
  );
}

function fateOf(state: SessionState, end: EndWords | null): Fate {
  if (end !== null || !canSend(state)) {
    return end?.way === "anew" || end?.way === "again" ? "anew" : "none";
  }
  return state.link === "reconnecting" ? "later" : "now";
}
