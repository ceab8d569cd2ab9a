//! Turns of the built-in model.

use super::*;

#[tokio::test]
async fn a_turn_is_streamed() {
    let events = builtin().events("What is the weather in London?").await;
    insta::assert_snapshot!(events.join("\n"));
}

#[tokio::test]
async fn tools_run_within_their_step() {
    let events = builtin().events("compare Oslo and Rome").await;
    assert_eq!(
        types(&events),
        [
            "start",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "tool-input-start",
            "tool-input-available",
            "tool-input-start",
            "tool-input-available",
            "tool-output-available",
            "finish-step",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "finish-step",
            "finish",
        ]
    );
}

#[tokio::test]
async fn answers_use_earlier_messages() {
    let mut stage = builtin();
    let now = stage.says("What is the weather in London?").await;
    assert!(now.contains("In **London** (Somewhere) it is **9 \u{b0}C** (feels like 6 \u{b0}C)"), "{now}");
    assert!(now.contains("Take an umbrella."), "{now}");
    let tomorrow = stage.says("and tomorrow?").await;
    assert!(
        tomorrow.contains("Tomorrow (2026-11-24) in **London** (Somewhere): **partly cloudy**"),
        "{tomorrow}"
    );
    assert!(!tomorrow.contains("umbrella"), "{tomorrow}");
    let both = stage.says("compare it with Rome").await;
    assert!(both.contains("**London**") && both.contains("**Rome**"), "{both}");
    let days = stage.says("what about the next days in Oslo?").await;
    assert!(days.contains("| 2026-11-25 | fog | 3 \u{b0}C | 8 \u{b0}C | ? |"), "{days}");
    let before = stage.says("what did I ask before?").await;
    assert_eq!(before, "Just before, you said:\n\n> what about the next days in Oslo?");
    let summary = stage.says("summarise our conversation").await;
    assert!(
        summary.contains("1. What is the weather in London?\n2. and tomorrow?\n3. compare it with"),
        "{summary}"
    );
    assert!(summary.ends_with("We looked at the weather in **London**, **Rome** and **Oslo**."), "{summary}");
}

#[tokio::test]
async fn a_comparison_names_the_warmest_place() {
    let text = builtin().says("compare Oslo and Rome").await;
    assert!(text.contains("| **Oslo** (Somewhere) | -3 \u{b0}C | light rain |"), "{text}");
    assert!(text.contains("**Rome** is the warmest, 17 \u{b0}C above Oslo."), "{text}");
}

#[tokio::test]
async fn an_unknown_place_is_an_error_chunk_and_a_sentence() {
    let mut stage = builtin();
    let events = stage.events("weather in Nowhere").await.join("\n");
    let error = r#"{"type":"tool-output-error","toolCallId":"call-1","errorText":"tool.failed: no place called “Nowhere” is known"}"#;
    assert!(events.contains(error), "{events}");
    let said = stage.says("weather in Nowhere and Rome").await;
    assert!(said.contains("In **Rome** (Somewhere) it is"), "{said}");
    assert!(said.contains("I could not get the weather for **Nowhere**: no place called"), "{said}");
}

#[tokio::test]
async fn climate_normals_are_labelled() {
    let said = builtin().says("weather in Tokyo").await;
    assert!(
        said.contains("this is **no forecast**, but what is typical for November (climate normals"),
        "{said}"
    );
    assert!(
        said.ends_with("- **Tokyo** (Japan): 9 \u{b0}C to 17 \u{b0}C, about 7 days with rain or snow"),
        "{said}"
    );
}

#[tokio::test]
async fn the_model_says_what_it_is() {
    let mut stage = builtin();
    for message in ["hello", "who are you?", "help", "what is the meaning of life?"] {
        let said = stage.says(message).await;
        assert!(
            said.contains("Mayfly's built-in assistant") && said.contains("no language model"),
            "{message}: {said}"
        );
    }
    let said = stage.says("Please prove Fermat's theorem").await;
    assert!(
        said.contains("> Please prove Fermat's theorem") && said.contains("This is what I can do"),
        "{said}"
    );
}

#[tokio::test]
async fn events_fit_the_hubs_bound() {
    let huge = "\u{1}x".repeat(30_000);
    for message in [format!("weather in {huge}"), format!("weather in Oslo, {huge} and Rome"), huge] {
        for event in builtin().events(&message).await {
            assert!(event.len() < 8_192, "{} bytes", event.len());
        }
    }
}

#[tokio::test]
async fn the_markdown_demonstration_has_list_table_and_code() {
    let said = builtin().says("Show me markdown").await;
    for part in ["\n1. ", "\n| ", "\n```rust\n", "\n> ", "**bold**"] {
        assert!(said.contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_story_is_long() {
    let events = builtin().events("Tell me a long story").await;
    let tokens = events.iter().filter(|event| event.contains("text-delta")).count();
    assert!((500..1500).contains(&tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn tokens_have_the_given_pace() {
    let pace = Duration::from_millis(20);
    let mut stage = Stage::with(Builtin::new(pace));
    let begin = tokio::time::Instant::now();
    let events = stage.events("thanks").await;
    let tokens = u32::try_from(events.iter().filter(|event| event.contains("text-delta")).count()).unwrap();
    assert_eq!(begin.elapsed(), tokens * pace);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_turn_closes_its_text() {
    let mut stage = Stage::with(Builtin::new(Duration::from_millis(20)));
    let cancel = stage.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(110)).await;
        cancel.cancel();
    });
    let events = stage.events("Tell me a long story").await;
    assert_eq!(types(&events), ["start", "start-step", "text-start", "text-delta", "text-end", "abort"]);
    let tokens = events.iter().filter(|event| event.contains("text-delta")).count();
    assert_eq!(tokens, 5, "one every 20 ms, for 110 ms");
    let kept = Message::Assistant {
        text: "## The mayfly\n\nOn the ".to_owned(),
        calls: Vec::new(),
        provider_state: None,
    };
    assert_eq!(stage.conversation.messages().last(), Some(&kept), "what was said stays said");
}
