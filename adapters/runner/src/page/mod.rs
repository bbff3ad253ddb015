//! The page that `patchjit explain --html` writes: the stages of a compilation side by side.
//!
//! Takes the stages of a program; gives one HTML document that needs nothing else: ops before the optimizer with the passes that changed
//! or dropped them, ops, live ranges over registers, bytes with the holes of their stencils, instructions, families. What is shown travels as JSON in
//! a script element, with every `<`, `>` and `&` escaped, and the page's script puts it on the screen as text only, so
//! names and comments cannot become markup; a content security policy keeps the page from fetching anything. Only rows
//! in view are in the document. The document takes about 250 bytes for each op, and a function of up to 400,000 rows (one for each
//! instruction, or op without code) is shown whole; of longer ones the page shows the beginning, and says so.

mod data;

pub use data::{Heading, Page};

/// The document.
pub fn html(page: &Page) -> Result<String, serde_json::Error> {
    let data = serde_json::to_string(page)?;
    let data = data
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    let parts = include_str!("page.html").split("@@");
    let document = parts.map(|part| match part {
        "TITLE" => escaped(&page.heading.file),
        "STYLE" => include_str!("page.css").to_string(),
        "SCRIPT" => include_str!("page.js").to_string(),
        "DATA" => data.clone(),
        markup => markup.to_string(),
    });
    Ok(document.collect())
}

/// Text as markup.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
