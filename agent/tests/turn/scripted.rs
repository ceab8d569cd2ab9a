//! Turns of scripted models: errors, bounds, tool calls.

use super::*;

#[tokio::test]
async fn a_stopped_call_gets_a_result() {
    let mut stage = Stage::with(scripted(vec![vec![text("Hm."), call("silence"), STOP]]));
    let cancel = stage.cancel.clone();
    let (_, (terminal, mut reader)) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            cancel.cancel();
        },
        stage.turn("?")
    );
    assert_eq!(terminal, Chunk::Abort { message_metadata: None });
    let mut events = Vec::new();
    while let Some((_, event)) = reader.next().await {
        events.push(event.to_string());
    }
    assert_eq!(
        types(&events)[4..],
        ["text-end", "tool-input-start", "tool-input-available", "tool-output-error", "abort"]
    );
    assert!(matches!(
        stage.conversation.messages(),
        [_, Message::Assistant { .. }, Message::Tool { outcome: Err(_), .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn tools_are_bounded_in_time_size_and_nesting() {
    for (tool, why) in [
        ("silence", format!("tool.timeout: no answer within {} s", TOOL_TIMEOUT.as_secs())),
        ("flood", format!("tool.failed: the output is too large: {} bytes", TOOL_OUTPUT_MAX_BYTES + 2)),
        ("deep", "tool.failed: the output is nested too deeply".to_owned()),
        ("hammer", "tool.failed: there is no tool \\\"hammer\\\"".to_owned()),
    ] {
        let mut stage = Stage::with(scripted(vec![vec![call(tool), STOP], vec![text("Well."), STOP]]));
        let events = stage.events("?").await.join("\n");
        assert!(events.contains(&format!(r#""errorText":"{why}""#)), "{tool}: {events}");
        assert!(
            events.ends_with(r#"{"type":"finish","finishReason":"stop"}"#),
            "{tool}: the model goes on: {events}"
        );
    }
}

#[tokio::test]
async fn steps_are_bounded() {
    let mut stage = Stage::with(scripted(vec![vec![call("hammer"), STOP]]));
    let events = stage.events("?").await;
    let steps = events.iter().filter(|event| event.contains("start-step")).count();
    assert_eq!(steps, STEPS_MAX);
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"length"}"#);
}

#[tokio::test]
async fn answers_are_bounded() {
    let endless = std::iter::repeat_n(text(&"x".repeat(10_000)), 1_000).chain([STOP]).collect();
    let mut stage = Stage::with(scripted(vec![endless]));
    let events = stage.events("?").await;
    assert!(events.len() < 250, "{}", events.len());
    assert_eq!(types(&events)[4..], ["text-end", "finish-step", "finish"]);
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"length"}"#);
}

#[tokio::test]
async fn a_model_error_ends_the_turn_with_message_and_code() {
    let overloaded = Err(ModelError::Overloaded { retry_after: None });
    for (steps, why, code) in [
        (
            vec![text("I th"), overloaded],
            "the model's provider is overloaded; try again in a moment",
            "model.overloaded",
        ),
        (vec![text("I th")], "the model's answer was interrupted; try again", "model.failed"),
    ] {
        let mut stage = Stage::with(scripted(vec![steps]));
        let events = stage.events("?").await;
        assert_eq!(types(&events), ["start", "start-step", "text-start", "text-delta", "text-end", "error"]);
        let error = format!(r#"{{"type":"error","errorText":"{why}","code":"{code}"}}"#);
        assert_eq!(events.last().unwrap(), &error);
    }
}

const TOO_LONG: Result<ModelEvent, ModelError> = Err(ModelError::ContextLength);

#[tokio::test]
async fn a_too_long_conversation_loses_its_older_half_with_a_notice() {
    let answer = || vec![text("Yes."), STOP];
    let mut stage = Stage::with(scripted(vec![answer(), answer(), vec![TOO_LONG], answer()]));
    stage.says("one").await;
    stage.says("two").await;
    let events = stage.events("three").await;
    assert_eq!(
        events[2],
        r#"{"type":"data-notice","data":{"code":"model.context_length","message":"The conversation is too long for the model: the oldest 1 message and its answer are left out from now on."}}"#
    );
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"stop"}"#);
    let persons = |stage: &Stage<Scripted>| -> Vec<String> {
        let said = |message: &Message| match message {
            Message::User(text) => Some(text.clone()),
            Message::Assistant { .. } | Message::Tool { .. } => None,
        };
        stage.conversation.messages().iter().filter_map(said).collect()
    };
    assert_eq!(persons(&stage), ["two", "three"]);
}

#[tokio::test]
async fn a_conversation_is_shortened_once_per_turn() {
    let answer = || vec![text("Yes."), STOP];
    for (steps, said_before, notices) in
        [(vec![answer(), answer(), vec![TOO_LONG]], 2, 1), (vec![vec![TOO_LONG]], 0, 0)]
    {
        let mut stage = Stage::with(scripted(steps));
        for _ in 0..said_before {
            stage.says("Hm?").await;
        }
        let events = stage.events("And now?").await;
        assert_eq!(events.iter().filter(|event| event.contains("data-notice")).count(), notices);
        assert!(events.last().unwrap().contains(r#""code":"model.context_length""#), "{events:?}");
    }
}

fn begins(id: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::CallStart { id: id.to_owned(), name: "weather".to_owned() })
}

fn input(id: &str, json: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::CallInput { id: id.to_owned(), json: json.to_owned() })
}

#[tokio::test]
async fn reasoning_and_inputs_are_streamed() {
    let thought = |token: &str| Ok(ModelEvent::Reasoning(token.to_owned()));
    let called = ToolCall { id: "b".to_owned(), name: "weather".to_owned(), input: json!({"place": "Rome"}) };
    let bad = ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!("{\"pl") };
    let usage = |input, output| {
        let (input_tokens, output_tokens) = (Some(input), Some(output));
        Ok(ModelEvent::Usage(Usage { input_tokens, output_tokens, ..Usage::default() }))
    };
    let first = vec![
        thought("Rome "),
        thought("first."),
        text("Let me see."),
        begins("a"),
        begins("b"),
        input("b", "{\"place\":"),
        input("a", "{\"pl"),
        input("b", "\"Rome\"}"),
        Ok(ModelEvent::Call(called)),
        Ok(ModelEvent::InvalidCall { call: bad, reason: "no JSON".to_owned() }),
        Ok(ModelEvent::ProviderState(json!(["signed"]))),
        usage(10, 5),
        Ok(ModelEvent::Finish(FinishReason::ToolCalls)),
    ];
    let mut stage = Stage::with(scripted(vec![first, vec![text("Mild."), usage(20, 2), STOP]]));
    let events = stage.events("?").await;
    insta::assert_snapshot!(events.join("\n"));
    assert!(matches!(
        stage.conversation.messages(),
        [
            Message::User(_),
            Message::Assistant { calls, provider_state: Some(_), .. },
            Message::Tool { outcome: Ok(_), .. },
            Message::Tool { outcome: Err(why), .. },
            Message::Assistant { provider_state: None, .. },
        ] if calls.len() == 2 && why == "no JSON"
    ));
}

#[tokio::test(start_paused = true)]
async fn usage_is_reported_however_a_turn_ends() {
    let usage = |input| Ok(ModelEvent::Usage(Usage { input_tokens: Some(input), ..Usage::default() }));
    let called =
        |last| vec![vec![usage(3), usage(5), call("silence"), STOP], vec![usage(7), text("Hm."), last]];
    let paid = |usage: Option<MessageMetadata>| {
        usage.and_then(|usage| usage.usage).and_then(|usage| usage.input_tokens)
    };
    for (last, expected) in [(STOP, 12), (Err(ModelError::Interrupted), 12)] {
        let mut stage = Stage::with(scripted(called(last)));
        let (terminal, _) = stage.turn("?").await;
        let (Chunk::Finish { message_metadata, .. } | Chunk::Error { message_metadata, .. }) = terminal
        else {
            panic!("{terminal:?}");
        };
        assert_eq!(paid(message_metadata), Some(expected), "of a step, what was told last");
    }
    let mut stage = Stage::with(scripted(called(STOP)));
    let cancel = stage.cancel.clone();
    let stop = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (_, (terminal, _)) = tokio::join!(stop, stage.turn("?"));
    let Chunk::Abort { message_metadata } = terminal else { panic!("{terminal:?}") };
    assert_eq!(paid(message_metadata), Some(5));
}

#[tokio::test]
async fn a_truncated_call_is_not_carried_out() {
    let cut = vec![begins("a"), input("a", "{"), Ok(ModelEvent::Finish(FinishReason::Length))];
    let mut stage = Stage::with(scripted(vec![cut]));
    let events = stage.events("?").await;
    assert_eq!(
        types(&events)[2..],
        ["tool-input-start", "tool-input-delta", "tool-input-error", "finish-step", "finish"]
    );
    let whole = vec![call("weather"), Ok(ModelEvent::Finish(FinishReason::ContentFilter))];
    let mut stage = Stage::with(scripted(vec![whole]));
    let events = stage.events("?").await;
    assert!(events.iter().any(|event| event.contains("not called: the answer ended first")), "{events:?}");
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"content-filter"}"#);
}

#[tokio::test]
async fn oversized_text_is_split_and_oversized_input_is_refused() {
    let huge = "\u{1}\u{e9}".repeat(20_000);
    let call = ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({ "place": huge }) };
    let step = vec![text(&huge), begins("a"), input("a", &huge), Ok(ModelEvent::Call(call)), STOP];
    let mut stage = Stage::with(scripted(vec![step, vec![text("Well."), STOP]]));
    let events = stage.events("?").await;
    assert!(events.iter().all(|event| event.len() < 60_000));
    assert!(events.iter().any(|event| event.contains("the input is larger than 32768 bytes")));
    assert!(stage.conversation.messages().contains(&Message::Assistant {
        text: huge,
        calls: vec![ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({}) }],
        provider_state: None
    }));
}

#[tokio::test]
async fn a_deeply_nested_input_is_refused() {
    let called = |levels| {
        let input = json!({ "place": nested(levels) });
        let call = ToolCall { id: "a".to_owned(), name: "silence".to_owned(), input };
        vec![Ok(ModelEvent::Call(call)), Ok(ModelEvent::Finish(FinishReason::ContentFilter))]
    };
    for (levels, is_refused) in [(TOOL_VALUE_MAX_DEPTH - 1, false), (TOOL_VALUE_MAX_DEPTH, true)] {
        let events = Stage::with(scripted(vec![called(levels)])).events("?").await;
        let refused = events.iter().filter(|event| event.contains("is nested deeper than 31 levels")).count();
        assert_eq!(refused == 1, is_refused, "{events:?}");
    }
}
