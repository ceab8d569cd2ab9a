//! Texts of the built-in model.

/// Returns a list of places as text: `**Oslo**, **Rome** and **Paris**`.
pub(super) fn listed(places: &[String]) -> String {
    let bold: Vec<_> = places.iter().map(|place| format!("**{place}**")).collect();
    match bold.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

pub(super) const GREETING: &str = "\
Hello! I'm Mayfly's built-in assistant: no language model, just rules and a weather tool. \
Ask me *What is the weather in London?*, or *help* for everything that I can do.";

pub(super) const IDENTITY: &str = "\
I'm Mayfly's built-in assistant: **no language model**, just rules that recognise a few kinds of questions. \
What is real is everything around me: this agent was started for you alone, my answer streams to you token by token, \
and when I need a tool, I really call it.";

pub(super) const ABILITIES: &str = "\
This is what I can do:

- **Weather** anywhere, now and for the next three days: *What is the weather in London?*, \
*Weather in New York tomorrow*, *Compare Oslo and Rome*
- **Follow-ups**, since I keep our conversation: *and in Paris?*, *what about tomorrow?*
- **Memory**: *what did I ask before?*, *summarise our conversation*
- **Markdown**: *show me markdown*
- **A long answer**, so that you can try to stop me: *tell me a long story*";

pub(super) const NOT_UNDERSTOOD: &str = "\
I don't understand that: I'm Mayfly's built-in assistant, a few rules and no language model.";

pub(super) const NO_WEATHER_TOOL: &str = "I have no weather tool here, so I cannot tell.";

pub(super) const WHICH_PLACE: &str = "For which place? Name a city or town, for example *London*.";

pub(super) const THANKS: &str = "You're welcome!";

pub(super) const FAREWELL: &str =
    "Goodbye! This agent was started for you alone, and it ends when you leave.";

pub(super) const MARKDOWN: &str = r#"## Markdown

Text can be **bold**, *italic*, ~~struck out~~ or `code`, and it can [link](https://en.wikipedia.org/wiki/Mayfly).

1. First a list
2. with numbers
   - and bullets
   - below

| Stage    | Where             | How long              |
|----------|-------------------|----------------------:|
| Egg      | on the river bed  | days to months        |
| Nymph    | under water       | months to two years   |
| Subimago | in the reeds      | minutes to a day      |
| Imago    | over the water    | minutes to a few days |

```rust
/// Returns the lifetime of an agent.
fn lifetime(conversation: Duration, deadline: Duration) -> Duration {
    conversation.min(deadline)
}
```

> And this is a block quote.

- [x] a task that is done
- [ ] and one that is not

---

That is all. It came token by token."#;

pub(super) const STORY: &str = "\
## The mayfly

On the bed of a clear river, under a flat stone, there was an egg no larger than a grain of dust. \
It had been laid there with some thousands of others on an evening in June, and it was in no hurry. \
When the water had the right warmth it opened, and something came out that looked like very little: \
six legs, three thin tails, and along its sides a row of gills, moving like small leaves in a wind that nobody felt.

The nymph, for that is what it is called, began to eat. It scraped algae from the stone at night and hid from the trout \
by day. It grew, and since its skin did not grow with it, it shed that skin and made a new one, and did so again, twenty \
times and more. A winter passed above it as a change of light. People on the bank, had they turned the stone, would have \
been glad to find it: where mayflies live, the water is clean, and those who look after rivers count them for that reason.

It was an old way to live. Its kind had done the same before there were birds to be afraid of, before there were \
flowers, three hundred million years ago, when the largest thing in the air was a dragonfly. \
Most things that were impressive then are stone now. The mayflies are still here.

One afternoon in its second summer the nymph stopped eating. It would never eat again, though it did not know that. \
It let go of the stone, rose through the water, which it had never done, and at the surface its back split open. \
Out of it climbed a winged thing, dull and clumsy, with a milky veil over its wings. Anglers call it a dun. \
It flew, badly, as far as the reeds, and sat down under a leaf.

And there it did what no other insect with wings can do: it shed its skin once more, even that of its wings. \
What came out was clear as glass, with long forelegs and large eyes, and no mouth to speak of. \
It had no use for one. It had an evening.

When the sun stood low, they all came. From every reed and alder they rose over the water, more than anyone could count, \
and began to dance: straight up, then down with wings held still, and up again. On great lakes there are nights when \
so many fly that weather radar shows them as if they were rain, and in the towns on the shore people sweep them from the \
bridges. Here it was only a river, and the only one to see it was a boy who should have been at home.

In the dance two of them met. It did not take long. She flew low over the water, touched it, and with each touch left a \
few hundred eggs, which sank between the stones. Then she lay down on the surface with her wings spread, and the river took \
her along. A trout rose, and there was a ring on the water, and then there was none.

The boy asked at home what sense there was in a life of one evening. His grandmother, who had been a teacher, thought \
about it. \u{201c}It was not one evening,\u{201d} she said. \u{201c}It was two years in the river, and one evening to give it on. Somebody \
saw the evening and named the animal for it. Aristotle did, and he was wrong about the rest as well.\u{201d}

Under a flat stone, in the dark, there was an egg no larger than a grain of dust. It was in no hurry.

*The end. If you let me finish: thank you. If you stopped me, you will not read this, and I won't mind.*";
