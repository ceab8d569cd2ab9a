//! Conversion of HTML to text.

use crate::tool::ToolError;

/// Width at which lines are wrapped; large, so that lines usually stay whole.
const WIDTH_CHARS: usize = 10_000;
/// Deepest nesting of elements; a page that nests deeper is refused.
const DEPTH_MAX: usize = 2_000;
/// Longest title in the output.
const TITLE_MAX_BYTES: usize = 300;

/// Returns a page's title, if it has one, and its text.
///
/// # Errors
/// Returns an error if the page cannot be read as HTML.
pub(super) async fn read(html: String) -> Result<(Option<String>, String), ToolError> {
    if depth(&html) > DEPTH_MAX {
        return Err(ToolError::Failed("the page is nested too deeply to be read".to_owned()));
    }
    // A large page takes long; the agent's only thread must not wait for it.
    let reading = tokio::task::spawn_blocking(move || {
        let config = html2text::config::plain_no_decorate().raw_mode(true).allow_width_overflow();
        let text = config.string_from_read(html.as_bytes(), WIDTH_CHARS);
        (title(&html), text)
    });
    let (title, text) = reading.await.map_err(|_| ToolError::Panicked)?;
    let text = text.map_err(|error| ToolError::Failed(format!("the page cannot be read: {error}")))?;
    Ok((title, tidy(&text)))
}

/// Returns the approximate nesting of elements, as the parser's time is quadratic in it. Elements without a required end
/// tag do not count.
fn depth(html: &str) -> usize {
    const OPTIONAL_END: &[&str] = &[
        "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
        "option", "p", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
    ];
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        let (is_end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let end = tag.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let name = tag[..end].to_ascii_lowercase();
        if name.is_empty() || OPTIONAL_END.contains(&name.as_str()) {
            continue;
        }
        depth = if is_end { depth.saturating_sub(1) } else { depth + 1 };
        deepest = deepest.max(depth);
    }
    deepest
}

fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let begin = lower.find("<title")?;
    let begin = begin + lower[begin..].find('>')? + 1;
    let end = begin + lower[begin..].find("</title")?;
    let title = html2text::config::plain_no_decorate()
        .string_from_read(&html.as_bytes()[begin..end], WIDTH_CHARS)
        .ok()?;
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then(|| shorten(&title, TITLE_MAX_BYTES).0.to_owned())
}

/// Removes white space at the ends of lines and repeated empty lines.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.lines().map(str::trim_end) {
        empty_lines = if line.is_empty() { empty_lines + 1 } else { 0 };
        if empty_lines <= 1 {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.trim().to_owned()
}

/// Returns the beginning of `text` in at most `max_bytes`, and `true` if it is not the whole text.
pub(super) fn shorten(text: &str, max_bytes: usize) -> (&str, bool) {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=max_bytes.min(text.len())).rev().find(fits).unwrap_or_default();
    (&text[..end], end < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn html_becomes_text() {
        let html = "<html><head><title>Tea &amp;\n biscuits</title><style>p{color:red}</style>\
                    <script>alert(1)</script></head><body><h1>Tea</h1>\n<p>One <b>cup</b> is <a href='/x'>enough</a>.</p>\
                    <ul><li>green<li>black</ul><table><tr><td>a<td>b</table><!-- hidden --></body>";
        let (title, text) = read(html.to_owned()).await.unwrap();
        assert_eq!(title.as_deref(), Some("Tea & biscuits"));
        for words in ["Tea", "One cup is [enough].", "green", "black", "a", "b"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        for hidden in ["alert", "color", "hidden", "<"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }

    #[tokio::test]
    async fn malformed_pages_are_read() {
        let long = "<p>one<li>two<br><img><div>three</div>".repeat(DEPTH_MAX);
        for html in ["<p>unclosed <b>tags", "<title>", "", "<<<>>>", "&#0;&bogus;", &long, &"<i>".repeat(500)]
        {
            read(html.to_owned()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn deeply_nested_pages_are_refused() {
        for html in ["<div>".repeat(200_000), "<i><b>".repeat(DEPTH_MAX)] {
            assert!(read(html).await.unwrap_err().to_string().contains("nested too deeply"));
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shorten("a\u{e9}b", 2), ("a", true));
        assert_eq!(shorten("a\u{e9}b", 4), ("a\u{e9}b", false));
    }
}
