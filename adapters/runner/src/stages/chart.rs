//! Live ranges as text: values down the side, positions across.
//!
//! ```text
//!                0         10
//!                entry|loop        |done
//!   n            ◆━●━━━━━━━●                rdi
//!   sum               ◆━●                   r9 5-6, slot 2 7-9
//! ```
//!
//! `◆` the value begins, `●` it is read, `━` a register holds it, `┿` another register from here on, `╌` its spill slot
//! alone holds it, `·` it is made again where it is needed. Positions are cut into bands that fit a page, blocks whole
//! where they fit; each band shows its ops, then the values that are kept in it. Every character is one column wide.

use super::FunctionStages;
use super::ranges::{LiveRange, Place, Span};
use std::fmt::Write as _;
use std::ops::Range;

/// Positions in a band.
const WIDTH: u32 = 64;

/// Values that a band shows: what is made or read in it first, then what lives through it.
const ROWS: usize = 100;

/// The longest name that is printed whole.
const NAME: usize = 14;

/// What the parts of a function are called.
pub struct ChartNames<'a> {
    /// The function's heading.
    pub function: String,
    /// Each op of the program by itself.
    pub lines: &'a [String],
    /// The name of a value.
    pub value: &'a dyn Fn(&LiveRange) -> String,
    /// The name of a block.
    pub block: &'a dyn Fn(u32) -> String,
    /// The name of a register.
    pub register: &'a dyn Fn(u32) -> String,
}

/// Draws the ranges of a function, with colours of terminals if they are wanted.
pub fn chart(stages: &FunctionStages, names: &ChartNames<'_>, colours: bool) -> String {
    let [ints, floats] = most_registers(&stages.values);
    let mut text = format!(
        "{}: {} positions, at most {ints} integer and {floats} float registers at once, {} spill slots\n",
        names.function,
        stages.ops.len(),
        stages.slot_count,
    );
    // Values begin in order; those that have ended are dropped from the front of what a band looks at.
    let mut open: Vec<&LiveRange> = Vec::new();
    let mut coming = stages.values.iter().peekable();
    for band in bands(stages) {
        band_ops(&mut text, stages, names, &band);
        open.retain(|range| range.to >= 2 * band.start);
        while let Some(range) = coming.next_if(|range| range.from < 2 * band.end) {
            open.push(range);
        }
        band_heading(&mut text, stages, names, &band);
        rows(&mut text, &open, names, &band, colours);
    }
    text
}

/// The most registers of each bank that hold values at the same time.
fn most_registers(values: &[LiveRange]) -> [i32; 2] {
    let spans = values.iter().flat_map(|range| &range.spans);
    let mut changes: Vec<(u32, i32, usize)> = Vec::new();
    for span in spans {
        if let Place::Register(register) = span.place {
            changes.push((span.from, 1, register as usize / 32 % 2));
            changes.push((span.to, -1, register as usize / 32 % 2));
        }
    }
    changes.sort_unstable();
    let (mut now, mut most) = ([0; 2], [0; 2]);
    for (_, change, bank) in changes {
        now[bank] += change;
        most[bank] = most[bank].max(now[bank]);
    }
    most
}

/// Positions in pieces of at most [`WIDTH`], cut between blocks where a block fits.
fn bands(stages: &FunctionStages) -> Vec<Range<u32>> {
    let mut bands = Vec::new();
    let mut start = 0;
    for block in &stages.blocks {
        let end = block.position + block.count;
        if end - start > WIDTH && block.position > start {
            bands.push(start..block.position);
            start = block.position;
        }
        while end - start > WIDTH {
            bands.push(start..start + WIDTH);
            start += WIDTH;
        }
    }
    let end = stages.ops.len() as u32;
    if end > start {
        bands.push(start..end);
    }
    bands
}

/// The ops of a band with their positions.
fn band_ops(text: &mut String, stages: &FunctionStages, names: &ChartNames<'_>, band: &Range<u32>) {
    let mut blocks = stages.blocks.iter().peekable();
    for position in band.clone() {
        while let Some(block) = blocks.next_if(|block| block.position <= position) {
            if block.position == position {
                let _ = writeln!(text, "        {}:", (names.block)(block.block));
            }
        }
        let op = stages.ops[position as usize];
        let line = names.lines.get(op as usize).map_or("", String::as_str);
        let _ = writeln!(text, "{position:6}    {line}");
    }
}

/// Numbers and blocks over the columns.
fn band_heading(
    text: &mut String,
    stages: &FunctionStages,
    names: &ChartNames<'_>,
    band: &Range<u32>,
) {
    let mut numbers = String::new();
    let mut blocks = String::new();
    for position in band.clone() {
        let column = (position - band.start) as usize;
        if (position == band.start || position % 10 == 0) && numbers.len() <= column {
            let _ = write!(
                numbers,
                "{:column$}{position}",
                "",
                column = column - numbers.len()
            );
            numbers.push(' ');
        }
    }
    for block in &stages.blocks {
        let from = block.position.max(band.start);
        let to = (block.position + block.count).min(band.end);
        if from < to {
            let width = (to - from) as usize;
            let bar = if from == band.start { 0 } else { 1.min(width) };
            let name = cut(&(names.block)(block.block), width - bar);
            blocks.push_str(&"|"[..bar]);
            let _ = write!(blocks, "{name:space$}", space = width - bar);
        }
    }
    let (numbers, blocks) = (numbers.trim_end(), blocks.trim_end());
    let _ = writeln!(text, "  {:NAME$} {numbers}\n  {:NAME$} {blocks}", "", "");
}

/// The values of a band, as many as there is room for; how many more there are.
fn rows(
    text: &mut String,
    open: &[&LiveRange],
    names: &ChartNames<'_>,
    band: &Range<u32>,
    colours: bool,
) {
    let is_touched = |range: &LiveRange| {
        let first = range.uses.partition_point(|&used| used < band.start);
        range.from >= 2 * band.start || range.uses.get(first).is_some_and(|&used| used < band.end)
    };
    let touched = open.iter().filter(|range| is_touched(range)).count();
    let mut room = [ROWS.saturating_sub(touched), ROWS];
    let mut left = 0;
    for range in open {
        let room = &mut room[usize::from(is_touched(range))];
        if *room == 0 {
            left += 1;
            continue;
        }
        *room -= 1;
        row(text, range, names, band, colours);
    }
    if left > 0 {
        let _ = writeln!(text, "  and {left} more");
    }
}

/// One value: its name, its line, its places.
fn row(
    text: &mut String,
    range: &LiveRange,
    names: &ChartNames<'_>,
    band: &Range<u32>,
    colours: bool,
) {
    let moments = 2 * band.start..2 * band.end;
    let inside = |span: &&Span| span.from < moments.end && span.to > moments.start;
    let spans: Vec<&Span> = range.spans.iter().filter(inside).collect();
    if spans.is_empty() {
        return;
    }
    let name = cut(&(names.value)(range), NAME);
    let mut line = String::new();
    let mut colour = "";
    let mut at = 0;
    let first = range.uses.partition_point(|&used| used < band.start);
    let mut uses = range.uses[first..].iter().peekable();
    for position in band.clone() {
        let begins = range.from / 2 == position;
        let read = uses.next_if(|&&used| used == position).is_some();
        // What an op reads is where it was before the op.
        let moment = 2 * position + u32::from(!read);
        while at + 1 < spans.len() && spans[at].to <= moment {
            at += 1;
        }
        let span = spans[at];
        let covers = span.from <= moment && span.to > 2 * position;
        let moved = at > 0
            && span.from / 2 == position
            && matches!(span.place, Place::Register(_))
            && matches!(spans[at - 1].place, Place::Register(_));
        let (mark, wanted) = match (covers, span.place) {
            (false, _) if !begins => (' ', ""),
            _ if begins => ('◆', colour_of(span.place)),
            _ if read => ('●', colour_of(span.place)),
            _ if moved => ('┿', colour_of(span.place)),
            (_, Place::Register(_)) => ('━', colour_of(span.place)),
            (_, Place::Slot(_)) => ('╌', colour_of(span.place)),
            (_, Place::Remade) => ('·', colour_of(span.place)),
        };
        if colours && wanted != colour {
            line.push_str("\x1b[0m");
            line.push_str(wanted);
            colour = wanted;
        }
        line.push(mark);
    }
    if colours && !colour.is_empty() {
        line.push_str("\x1b[0m");
    }
    let places = places(&spans, names, band);
    let _ = writeln!(text, "  {name:NAME$} {line}  {places}");
}

fn colour_of(place: Place) -> &'static str {
    match place {
        Place::Register(0..32) => "\x1b[36m",
        Place::Register(_) => "\x1b[35m",
        Place::Slot(_) => "\x1b[33m",
        Place::Remade => "\x1b[2m",
    }
}

/// Where a value is in a band: one place, or each with its positions.
fn places(spans: &[&Span], names: &ChartNames<'_>, band: &Range<u32>) -> String {
    let name = |place| match place {
        Place::Register(register) => (names.register)(register),
        Place::Slot(slot) => format!("slot {slot}"),
        Place::Remade => "made again".to_string(),
    };
    if let [only] = spans {
        return name(only.place);
    }
    let parts: Vec<String> = spans
        .iter()
        .map(|span| {
            let from = (span.from / 2).max(band.start);
            let to = ((span.to - 1) / 2).min(band.end - 1);
            if from == to {
                format!("{} {from}", name(span.place))
            } else {
                format!("{} {from}-{to}", name(span.place))
            }
        })
        .collect();
    parts.join(", ")
}

/// A name that fits, its end cut off if need be.
fn cut(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_string();
    }
    let kept: String = name.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + "…" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::BlockStage;
    use patchjit::compile::ValueName;

    /// A value that begins in one register, moves to its slot and comes back to another, and a constant.
    #[test]
    fn a_chart() {
        let span = |from, to, place| Span { from, to, place };
        let block = |block, position, count| BlockStage {
            block,
            position,
            count,
        };
        let stages = FunctionStages {
            blocks: vec![block(0, 0, 3), block(1, 3, 5)],
            ops: (0..8).collect(),
            slot_count: 1,
            values: vec![
                LiveRange {
                    value: ValueName::Op(0),
                    from: 0,
                    to: 14,
                    uses: vec![2, 5, 7],
                    spans: vec![
                        span(0, 5, Place::Register(3)),
                        span(5, 10, Place::Slot(0)),
                        span(10, 12, Place::Register(1)),
                        span(12, 15, Place::Register(2)),
                    ],
                },
                LiveRange {
                    value: ValueName::Op(1),
                    from: 2,
                    to: 12,
                    uses: vec![6],
                    spans: vec![span(3, 13, Place::Remade)],
                },
            ],
            ..FunctionStages::default()
        };
        let lines: Vec<String> = (0..8).map(|op| format!("op {op}")).collect();
        let names = ChartNames {
            function: "@f".to_string(),
            lines: &lines,
            value: &|range| format!("{:?}", range.value),
            block: &|block| format!("a_long_name_{block}"),
            register: &|register| format!("r{register}"),
        };
        let text = chart(&stages, &names, false);
        let expected = "\
@f: 8 positions, at most 1 integer and 0 float registers at once, 1 spill slots
        a_long_name_0:
     0    op 0
     1    op 1
     2    op 2
        a_long_name_1:
     3    op 3
     4    op 4
     5    op 5
     6    op 6
     7    op 7
                 0
                 a_…|a_l…
  Op(0)          ◆━●╌╌●┿●  r3 0-2, slot 0 2-4, r1 5, r2 6-7
  Op(1)           ◆····●   made again
";
        assert_eq!(text, expected, "{text}");
        let coloured = chart(&stages, &names, true);
        assert!(coloured.contains("\x1b[36m◆━●\x1b[0m\x1b[33m╌╌\x1b[0m\x1b[36m●┿●\x1b[0m"));
    }

    #[test]
    fn a_band_shows_what_happens_in_it_first() {
        let value = |number: u32, uses: Vec<u32>| LiveRange {
            value: ValueName::Op(number),
            from: 0,
            to: 20,
            uses,
            spans: vec![Span {
                from: 1,
                to: 20,
                place: Place::Slot(number),
            }],
        };
        let mut open: Vec<LiveRange> = (0..2 * ROWS as u32).map(|n| value(n, vec![2])).collect();
        open.push(value(1000, vec![7]));
        let open: Vec<&LiveRange> = open.iter().collect();
        let names = ChartNames {
            function: String::new(),
            lines: &[],
            value: &|range| format!("{:?}", range.value),
            block: &|_| String::new(),
            register: &|_| String::new(),
        };
        let mut text = String::new();
        rows(&mut text, &open, &names, &(5..10), false);
        assert_eq!(text.lines().count(), ROWS + 1);
        assert!(text.contains("Op(98) ") && !text.contains("Op(99) ") && text.contains("Op(1000)"));
        assert!(text.ends_with(&format!("  and {} more\n", ROWS + 1)));
    }

    #[test]
    fn bands_cut_between_blocks_where_they_fit() {
        let mut stages = FunctionStages::default();
        for (block, count) in [(0, 40), (1, 30), (2, 150), (3, 10)] {
            let position = stages.ops.len() as u32;
            stages.ops.extend(position..position + count);
            stages.blocks.push(BlockStage {
                block,
                position,
                count,
            });
        }
        let expected = [0..40, 40..70, 70..134, 134..198, 198..230];
        assert_eq!(bands(&stages), expected);
    }
}
