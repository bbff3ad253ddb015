//! The listing: every template with its instructions, for readers.

use crate::architecture::Architecture;
use crate::bodies::FamilySource;
use crate::fold::Folded;
use std::fmt::Write;

/// Writes the listing. Each template is shown with the registers of one of its variants.
pub fn listing(
    architecture: &dyn Architecture,
    families: &[FamilySource],
    folded: &[Vec<Folded>],
) -> Result<String, String> {
    let mut out = format!(
        "Stencils of {}: generated, for reading. One block for each template, with the registers of one\n\
         of its variants; immediates and distances to the target (..) are holes, zero here.\n",
        architecture.target()
    );
    for (family, templates) in families.iter().zip(folded) {
        let operands: Vec<&str> = family
            .operands
            .iter()
            .map(|operand| operand.name.as_str())
            .collect();
        let _ = writeln!(out, "\n{} [{}]", family.name, operands.join(", "));
        for template in templates {
            let shape = &family.shapes[template.shape];
            let mut title = format!("{:?}", template.kind);
            if let Some(k) = shape.equal {
                let _ = write!(title, ", out={}", family.operands[k].name);
            }
            for (k, operand) in family.operands.iter().enumerate() {
                if template.allowed[k] != operand.allowed && !operand.fixed {
                    let _ = write!(title, ", {} in {:#06x}", operand.name, template.allowed[k]);
                }
            }
            let _ = writeln!(out, "  {title}: {} bytes", template.base.len());
            let sample = &template.members[template.members.len() / 2];
            for printed in architecture.print(&sample.bytes)? {
                let (start, end, text) = (printed.start, printed.end, printed.text);
                let hex: Vec<String> = sample.bytes[start..end]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let holes = template
                    .targets
                    .iter()
                    .any(|&at| (start..end).contains(&(at as usize)));
                let mark = if holes { "    ..target" } else { "" };
                let _ = writeln!(out, "    {:3} {:33} {text}{mark}", start, hex.join(" "));
            }
        }
    }
    Ok(out)
}
