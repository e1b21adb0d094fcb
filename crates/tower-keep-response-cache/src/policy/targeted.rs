//! Fields that tell caches of one kind what `Cache-Control` tells all (RFC 9213), such as
//! `CDN-Cache-Control`.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, ListEntry, Parser};

use crate::policy::directives::{Argument, Directives};

/// What the first of the `targets` says that is there, is not empty and can be read. It goes
/// before `Cache-Control` and `Expires`, which then count for nothing.
pub(crate) fn directives(response: &HeaderMap, targets: &[HeaderName]) -> Option<Directives> {
    targets.iter().find_map(|target| read(response, target))
}

fn read(response: &HeaderMap, target: &HeaderName) -> Option<Directives> {
    let mut lines = response.get_all(target).iter();
    let first = lines.next()?;
    let dictionary = match lines.next() {
        None => Parser::parse_dictionary(first.as_bytes()),
        Some(second) => {
            let all = [first, second].into_iter().chain(lines).map(HeaderValue::as_bytes);
            Parser::parse_dictionary(&all.collect::<Vec<_>>().join(&b", "[..]))
        }
    };
    let dictionary = dictionary.ok().filter(|members| !members.is_empty())?;
    let mut said = Directives::default();
    for (name, member) in &dictionary {
        let name = name.as_bytes();
        let item = match member {
            ListEntry::Item(item) => &item.bare_item,
            ListEntry::InnerList(_) => {
                said.add(name, Argument::Nonsense);
                continue;
            }
        };
        match item {
            BareItem::Boolean(true) => said.add(name, Argument::None),
            // Said not to be so, which is as if it were not said.
            BareItem::Boolean(false) => {}
            BareItem::String(list) => said.add(name, quoted(name, list)),
            // A number of another type, or less than nothing, is none: the directive is there,
            // and permits nothing.
            BareItem::Integer(number) => {
                said.add(name, Argument::Word(number.to_string().as_bytes()));
            }
            _ => said.add(name, Argument::Nonsense),
        }
    }
    Some(said)
}

/// Text is what lists of fields are in; seconds are not, other than in `Cache-Control`.
fn quoted<'a>(name: &[u8], text: &'a str) -> Argument<'a> {
    match name {
        b"no-cache" | b"private" => Argument::Quoted(text.as_bytes()),
        _ => Argument::Nonsense,
    }
}

#[cfg(test)]
mod tests;
