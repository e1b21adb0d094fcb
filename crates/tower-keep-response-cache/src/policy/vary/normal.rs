//! Values of request fields, made alike where they mean the same.

/// The lines of a field as one list: joined by commas, without space around them. What stands in
/// quotes stays as it is.
pub(super) fn folded(lines: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    // Where the element begins that is being read, and where what cannot be trimmed of it ends.
    let mut kept = 0;
    for (i, line) in lines.iter().enumerate() {
        let comma: &[u8] = if i > 0 { b"," } else { b"" };
        for byte in comma.iter().chain(*line).copied() {
            match byte {
                b' ' | b'\t' if !quoted && out.len() == kept && at_start(&out) => continue,
                b',' if !quoted => out.truncate(kept),
                b'"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && !escaped && byte == b'\\';
            out.push(byte);
            if quoted || !matches!(byte, b' ' | b'\t') {
                kept = out.len();
            }
        }
    }
    out.truncate(kept);
    out
}

fn at_start(out: &[u8]) -> bool {
    matches!(out.last(), None | Some(b','))
}

/// The lines of `Accept-Encoding` or `Accept-Language` as one: of these fields neither letter case
/// nor order nor space makes a difference, since it is the weights that tell what is preferred.
pub(super) fn preferences(lines: &[&[u8]]) -> Vec<u8> {
    if lines.iter().any(|line| line.contains(&b'"')) {
        return folded(lines);
    }
    let mut elements: Vec<Vec<u8>> = lines
        .iter()
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(element)
        .filter(|element| !element.is_empty())
        .collect();
    elements.sort_unstable();
    elements.dedup();
    elements.join(&b',')
}

fn element(element: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(element.len());
    for (i, piece) in element.split(|byte| *byte == b';').enumerate() {
        let piece = piece.trim_ascii().to_ascii_lowercase();
        let piece = if i > 0 { weight(&piece) } else { &piece };
        // A weight of 1 is the one that stands for none.
        if i > 0 && piece != b"q=1" {
            out.push(b';');
        }
        if i == 0 || piece != b"q=1" {
            out.extend_from_slice(piece);
        }
    }
    out
}

/// `q=0.50` and `q=0.5` are one.
fn weight(parameter: &[u8]) -> &[u8] {
    if !parameter.starts_with(b"q=0.") && !parameter.starts_with(b"q=1.") {
        return parameter;
    }
    let mut short = parameter;
    while let Some(shorter) = short.strip_suffix(b"0").filter(|rest| rest.contains(&b'.')) {
        short = shorter;
    }
    short.strip_suffix(b".").unwrap_or(short)
}
