// SPDX-License-Identifier: GPL-2.0-only
//! A transcript as a text trace.
//!
//! What a user asks for and what a packet does become `request` steps with the transcript's own
//! arguments, because a request lives from which of its attributes are missing, and no shorter
//! words could say that. Time, the listing in `/proc` and the counters have steps of their own.
//! The answers are the model's; the first comment says what the kernel said instead.

use nfexp_model::netns::NetId;
use nfexp_model::revision::Revision;
use nfexp_traces::step::Step;
use nfexp_traces::text::{Answer, Block, Setup, Trace};
use nfexp_traces::transcript::{CtNew, Family, Header, Line, Nothing, Operation};

use super::player::{filling, ticks};
use crate::simulator::{Simulator, config};

/// The trace of these lines, with the answers of `revision`, and a remark above.
#[must_use]
pub fn as_trace(header: &Header, lines: &[Line], remark: &str, revision: Revision) -> Trace {
    let setup = Setup {
        hz: Some(header.hz),
        hash_size: Some((header.expect_max / 4).clamp(1, 1 << 16)),
        expect_max: Some(header.expect_max),
        expectations: Some(header.expect_max.saturating_add(64).min(1 << 16)),
        conns: Some(1 << 12),
        ..Setup::default()
    };
    let mut trace = Trace {
        comments: vec![format!(" {remark}")],
        setup,
        revisions: vec![revision.name.to_owned()],
        blocks: Vec::new(),
    };
    let mut simulator = Simulator::new(config(&trace.setup, revision)).ok();
    let mut now = 0;
    let rules = header.nft.iter().map(|object| Step::CtExpectation(*object)).collect();
    let played = lines.iter().map(|line| steps(header, &line.operation, &mut now));
    for steps in std::iter::once(rules).chain(played) {
        let mut said = Vec::new();
        for step in &steps {
            match simulator.as_mut().map(|simulator| simulator.step(step)) {
                Some(Ok(answers)) => said.extend(answers),
                Some(Err(error)) => {
                    said.push(format!("# {error}"));
                    simulator = None;
                }
                None => {}
            }
        }
        if steps.is_empty() {
            continue;
        }
        let text = steps.iter().map(Step::to_string).collect();
        let steps = steps.into_iter().map(|step| (0, step)).collect();
        let answers = vec![Answer { revisions: Vec::new(), lines: said }];
        trace.blocks.push(Block { lines: text, steps, answers });
    }
    let audited = simulator.as_mut().map_or(Ok(()), Simulator::audit);
    let last = trace.blocks.last_mut().and_then(|block| block.answers.last_mut());
    if let (Err(error), Some(last)) = (audited, last) {
        last.lines.push(format!("# {error}"));
    }
    trace
}

fn steps(header: &Header, operation: &Operation, now: &mut u64) -> Vec<Step> {
    let request = |operation| Step::Request(Box::new(operation));
    match operation {
        Operation::Advance(advance) => {
            let passed = advance.to.saturating_sub(*now);
            *now = (*now).max(advance.to);
            vec![Step::Advance(ticks(passed, header.hz))]
        }
        Operation::Proc(_) => vec![Step::Show { net: NetId::INIT }],
        Operation::Stats(_) => vec![Step::Stats { net: NetId::INIT }],
        Operation::ExpFlushQuiet(_) => vec![request(Operation::ExpFlush(Nothing {}))],
        Operation::Fill(fill) => {
            let mut steps = Vec::new();
            for m in 0..fill.masters {
                let (master, expectations) = filling(m, fill.per);
                let new = CtNew {
                    l3: Family::Ip,
                    orig: Some(master),
                    helper: Some("RAS".to_owned()),
                    timeout: Some(3600),
                    ..CtNew::default()
                };
                steps.push(request(Operation::CtNew(new)));
                steps.extend(expectations.map(|new| request(Operation::ExpNew(Box::new(new)))));
            }
            steps
        }
        other => vec![request(other.clone())],
    }
}
