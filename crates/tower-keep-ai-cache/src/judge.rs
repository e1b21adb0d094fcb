//! Whether an answer that passes by is whole, and what it costs.

use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::Response;
use tower_keep_core::{CostUnit, LateCost, ResponseBody, WatchBody};

use crate::{
    batch::MAX_VECTORS,
    coding::{Coding, Gunzip},
    provider::{self, Api, Asked, Flaw, Usage, Verdict, spent, stream::Stream},
};

/// Follows one answer.
pub(crate) struct Judge {
    asked: Asked,
    /// Of an answer that comes as events.
    stream: Option<Stream>,
    /// What has come so far.
    read: Vec<Bytes>,
    length: usize,
    /// No more is looked at.
    most: usize,
    verdict: Option<Verdict>,
    cost: Option<LateCost>,
    /// What was paid before.
    paid: Usage,
    /// Of an answer that is compressed.
    gunzip: Option<Gunzip>,
    /// Whether what comes is kept.
    keeps: bool,
    seen: u64,
    /// Nothing that comes is of interest any more.
    ended: bool,
}

impl Judge {
    pub(crate) fn new(asked: Asked, coding: Coding, most: usize, cost: Option<LateCost>) -> Self {
        let stream = asked.stream.then(|| Stream::new(&asked, most));
        let gunzip = Gunzip::of(coding, most);
        let (read, paid) = (Vec::new(), Usage::default());
        Self {
            asked,
            stream,
            read,
            length: 0,
            most,
            verdict: None,
            cost,
            paid,
            gunzip,
            keeps: true,
            seen: 0,
            ended: false,
        }
    }

    /// Settles this too, which was paid before.
    pub(crate) const fn after(mut self, paid: Usage) -> Self {
        self.paid = paid;
        self
    }

    /// Keeps nothing of an answer that comes as events: only its cost is of interest.
    const fn for_its_cost(mut self) -> Self {
        self.keeps = self.stream.is_none();
        self
    }

    /// How many bytes have gone by.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// These bytes are about to go by.
    pub(crate) fn see(&mut self, data: &Bytes, last: bool) {
        self.seen = self.seen.saturating_add(data.len() as u64);
        if self.ended {
            return;
        }
        match self.plain(data, last) {
            Ok(Some(plain)) => self.see_plain(&plain, last),
            Ok(None) => self.see_plain(data, last),
            Err(flaw) => {
                self.read.clear();
                self.verdict.get_or_insert(Verdict::Incomplete(flaw));
                self.ended = true;
            }
        }
    }

    /// What these bytes say, if they are compressed.
    fn plain(&mut self, data: &Bytes, last: bool) -> Result<Option<Bytes>, Flaw> {
        let Some(gunzip) = &mut self.gunzip else { return Ok(None) };
        let plain = gunzip.take(data)?;
        if !last {
            return Ok(Some(plain));
        }
        let rest = gunzip.end()?;
        Ok(Some(if rest.is_empty() { plain } else { [plain, rest].concat().into() }))
    }

    fn see_plain(&mut self, data: &Bytes, last: bool) {
        if self.verdict.is_none() {
            self.length = self.length.saturating_add(data.len());
            if self.length > self.most {
                // What it costs is told all the same, where it comes as events.
                self.read.clear();
                self.verdict = Some(Verdict::Incomplete(Flaw::TooLarge));
            } else if self.keeps && !data.is_empty() {
                self.read.push(data.clone());
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.take(data);
            // Before whoever counts the cost sees the end.
            if let Some(usage) = stream.cost() {
                self.settle(usage);
            }
        }
        if last {
            self.ended = true;
            self.end();
        }
    }

    /// No more will come.
    fn end(&mut self) {
        let (verdict, spent) = match self.stream.take() {
            Some(stream) => {
                let spent = stream.spent();
                (stream.end(), spent)
            }
            None if self.verdict.is_some() => return,
            None => {
                self.join();
                let whole = self.read.first().cloned().unwrap_or_default();
                (self.asked.judge(&whole), spent::told(&whole))
            }
        };
        // What came to an end is to be paid, also where it is not one to store.
        match verdict {
            Verdict::Complete(usage) => self.settle(usage),
            Verdict::Incomplete(Flaw::Truncated | Flaw::Error | Flaw::Malformed) => {}
            Verdict::Incomplete(_) => self.settle(spent.unwrap_or_default()),
        }
        self.verdict.get_or_insert(verdict);
    }

    /// What is wrong with it so far.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match &self.verdict {
            Some(Verdict::Incomplete(flaw)) => Some(*flaw),
            Some(Verdict::Complete(_)) => None,
            None => self.stream.as_ref().and_then(Stream::flaw),
        }
    }

    /// All of it, and what it cost, if it is whole. One that was not seen to its end is cut.
    pub(crate) fn whole(&mut self) -> Result<(Bytes, Usage), Flaw> {
        match self.verdict {
            Some(Verdict::Complete(usage)) => {
                self.join();
                Ok((self.read.pop().unwrap_or_default(), usage))
            }
            Some(Verdict::Incomplete(flaw)) => Err(flaw),
            None => Err(Flaw::Truncated),
        }
    }

    /// An answer that counts no tokens does not say that there were none.
    fn settle(&mut self, usage: Usage) {
        if let Some(cost) = self.cost.take_if(|_| usage.total() > 0) {
            settle(&cost, usage.and(self.paid));
        }
    }

    /// Puts together what has come. A single part is not copied.
    fn join(&mut self) {
        if self.read.len() > 1 {
            let mut all = BytesMut::with_capacity(self.length);
            self.read.drain(..).for_each(|part| all.extend_from_slice(&part));
            self.read.push(all.freeze());
        }
    }
}

/// Tells what a request cost in all.
pub(crate) fn settle(cost: &LateCost, usage: Usage) {
    cost.settle(CostUnit::TOKENS, usage.total());
    cost.settle(CostUnit::INPUT_TOKENS, usage.input);
    cost.settle(CostUnit::OUTPUT_TOKENS, usage.output);
}

/// Lets an answer pass that is not stored, whatever was asked, and settles what it says it cost.
pub(crate) fn metered<R>(
    answer: Response<R>,
    api: Api,
    most: usize,
    cost: Option<LateCost>,
) -> Response<ResponseBody<R>> {
    let Some(cost) = cost else { return answer.map(ResponseBody::inner) };
    if !answer.status().is_success() {
        // Nobody pays for an error.
        settle(&cost, Usage::default());
        return answer.map(ResponseBody::inner);
    }
    let most = if api == Api::OpenAiEmbeddings { MAX_VECTORS.max(most) } else { most };
    let asked =
        Asked { api, parts: 1, stream: provider::is_stream(answer.headers()), take_cut: false };
    let judge = Judge::new(asked, Coding::of(answer.headers()), most, Some(cost)).for_its_cost();
    answer.map(|body| ResponseBody::watched(body, Paying(Mutex::new(judge))))
}

/// Follows an answer that is not stored, for what it costs.
struct Paying(Mutex<Judge>);

impl WatchBody for Paying {
    fn data(&self, data: &Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).see(data, false);
    }

    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).see(&Bytes::new(), true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower_keep_core::SettleCost;

    use super::*;
    use crate::provider::Api;

    #[derive(Default)]
    struct Ledger(Mutex<Vec<(&'static str, u64)>>);

    impl SettleCost for Ledger {
        fn add(&self, _: CostUnit, _: u64) {}

        fn settle(&self, unit: CostUnit, total: u64) {
            self.0.lock().unwrap().push((unit.name(), total));
        }
    }

    fn judge(stream: bool, most: usize) -> (Judge, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        let asked = Asked { api: Api::OpenAiChat, parts: 1, stream, take_cut: false };
        (
            Judge::new(
                asked,
                Coding::Plain,
                most,
                Some(LateCost::new(Arc::clone(&ledger) as Arc<_>)),
            ),
            ledger,
        )
    }

    const CHUNKS: [&str; 3] = [
        "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9}}\n\n",
        "data: [DONE]\n\n",
    ];

    const ANSWER: &str = r#"{"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":9}}"#;

    const USAGE: Usage = Usage { input: 5, output: 9 };

    const COST: [(&str, u64); 3] = [("tokens", 14), ("input-tokens", 5), ("output-tokens", 9)];

    #[test]
    fn the_cost_of_a_stream_is_told_once_and_before_its_end() {
        let (mut judge, ledger) = judge(true, 1000);
        for (i, chunk) in CHUNKS.into_iter().enumerate() {
            assert!(ledger.0.lock().unwrap().is_empty(), "{i}");
            judge.see(&Bytes::from_static(chunk.as_bytes()), false);
        }
        assert_eq!(*ledger.0.lock().unwrap(), COST);
        judge.see(&Bytes::new(), true);
        assert_eq!(*ledger.0.lock().unwrap(), COST);
        assert_eq!(judge.flaw(), None);
        assert_eq!(judge.whole(), Ok((CHUNKS.concat().into(), USAGE)));
    }

    #[test]
    fn the_cost_of_an_answer_is_told_with_its_last_part() {
        for parts in [vec![ANSWER], vec![&ANSWER[..20], &ANSWER[20..]], vec![ANSWER, ""]] {
            let (mut judge, ledger) = judge(false, 1000);
            let last = parts.len() - 1;
            for (i, part) in parts.into_iter().enumerate() {
                judge.see(&Bytes::copy_from_slice(part.as_bytes()), i == last);
            }
            assert_eq!(*ledger.0.lock().unwrap(), COST);
            assert_eq!(judge.whole(), Ok((Bytes::from_static(ANSWER.as_bytes()), USAGE)));
        }
    }

    #[test]
    fn what_breaks_off_or_is_too_long_is_not_whole_and_tells_no_cost() {
        let (mut cut, ledger) = judge(true, 1000);
        cut.see(&Bytes::from_static(CHUNKS[0].as_bytes()), true);
        assert_eq!(cut.whole(), Err(Flaw::Truncated));
        let (mut broken, _) = judge(false, 1000);
        broken.see(&Bytes::from_static(ANSWER.as_bytes()), false);
        assert_eq!(broken.whole(), Err(Flaw::Truncated));
        let (mut long, _) = judge(false, 10);
        long.see(&Bytes::from_static(ANSWER.as_bytes()), true);
        assert_eq!(long.flaw(), Some(Flaw::TooLarge));
        assert!(ledger.0.lock().unwrap().is_empty());
    }

    #[test]
    fn an_error_amid_a_stream_is_known_at_once() {
        let (mut judge, _) = judge(true, 1000);
        judge.see(&Bytes::from_static(b"data: {\"error\":{}}\n\n"), false);
        assert_eq!(judge.flaw(), Some(Flaw::Error));
    }
}
