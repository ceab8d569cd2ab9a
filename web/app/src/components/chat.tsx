/**
 * One conversation: header, transcript, banners and composer. Reads the session's state and passes it to the parts.
 */

import { useSession } from "@mayfly/client/react";
import { canSend, runningTurn, type SessionState } from "@mayfly/client/state";
import { useKey } from "../lib/browser/use-key.ts";
import { useOnline } from "../lib/browser/use-online.ts";
import { download, toMarkdown } from "../lib/content/export.ts";
import { type Conversation, type Conversations, titleOf } from "../lib/conversations/conversations.ts";
import { describeConnectionProblem } from "../lib/wording/connection.ts";
import { describeEnd, type EndDescription, unansweredMessage } from "../lib/wording/end.ts";
import { describeLine } from "../lib/wording/status.ts";
import { Announcer } from "./announcer.tsx";
import { Composer, type Delivery } from "./composer.tsx";
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
  const problem = describeConnectionProblem(state, isOnline);
  const line = describeLine(state);
  const { expiring, retryAtMs } = state;

  const send = (text: string) => {
    // A message in a conversation that has ended starts a new agent.
    if (!canSend(state)) {
      client.begin();
    }
    client.send(text);
  };
  const resend = () => {
    const text = unansweredMessage(state);
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
        onRegenerate={() => client.regenerate()}
      />
      <div className="mx-auto w-full max-w-column px-3 pb-[max(0.5rem,env(safe-area-inset-bottom))] sm:px-4">
        {problem !== null && (
          <RetryBanner problem={problem} retryAtMs={retryAtMs} onRetry={() => client.retryNow()} />
        )}
        {line !== null && <LineBanner text={line} />}
        {end === null && expiring !== null && (
          <ExpiringBanner expiring={expiring} onExtend={() => client.extend()} />
        )}
        {end !== null && (
          <EndCard
            end={end}
            onNextStep={{
              new_agent: () => client.begin(),
              resend,
              take_over: () => client.connect(),
              reconnect: () => client.connect(),
              reload: () => location.reload(),
            }}
            isKeyRefused={conversations.keyring.isRefused}
            onKey={(key) => conversations.setKey(key)}
          />
        )}
        <Composer
          draft={draft}
          onDraft={(text) => conversations.setDraft(id, text)}
          delivery={deliveryOf(state, end)}
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

function deliveryOf(state: SessionState, end: EndDescription | null): Delivery {
  if (end !== null || !canSend(state)) {
    return end?.nextStep === "new_agent" || end?.nextStep === "resend" ? "new_agent" : "none";
  }
  return state.link === "reconnecting" ? "after_reconnect" : "now";
}
