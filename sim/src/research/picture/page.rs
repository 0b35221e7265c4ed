// SPDX-License-Identifier: GPL-2.0-only
//! The page: verdict, pictures, table, parameters and where they come from.

use std::fmt::Write;

use super::chart::{Axis, Chart, Dot, escape, short};
use super::lives;
use crate::research::cast::Cast;
use crate::research::cell::Detail;
use crate::research::statistics::Estimate;
use crate::research::sweep::plan::{FORMAT, Plan};
use crate::research::sweep::summary::{Line, METRICS, metrics_of};

/// A picture with a name for its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file's name, without ending.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// The SVG.
    pub svg: String,
}

/// All pictures of a study: `details` are one block's cells with lifelines, at the point where
/// `varied` has these values.
#[must_use]
pub fn pictures(plan: &Plan, lines: &[Line], details: &[Detail], varied_to: &str) -> Vec<Picture> {
    let mut pictures = Vec::new();
    pictures.extend(varied(plan, lines));
    pictures.extend(by_size(plan, lines));
    for detail in details.iter().take(2) {
        pictures.push(occupancy(detail, varied_to));
        let cast = Cast::of(&plan.points[0].document.read());
        let kinds = cast.map_or_else(|_| Vec::new(), |cast| cast.kinds);
        let kinds: Vec<String> = kinds.into_iter().map(|kind| kind.name).collect();
        let policy = &detail.cell.policy;
        let title = format!("Lifelines under {policy}");
        pictures.push(Picture {
            name: format!("lifelines-{}", file_name(policy)),
            caption: format!(
                "{title}, expect_max {}: one line an expectation, from the middle of the first \
                 replication; the dot is its end, a ring a connection that came and found nothing.",
                detail.cell.expect_max
            ),
            svg: lives::svg(&title, &detail.outcome.measure.lifelines, &kinds),
        });
    }
    pictures
}

fn file_name(policy: &str) -> String {
    policy.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn dots<'a>(
    lines: impl Iterator<Item = &'a Line>,
    x: impl Fn(&Line) -> f64,
) -> (Vec<Dot>, Vec<(f64, f64, f64)>) {
    let (mut dots, mut optimum) = (Vec::new(), Vec::new());
    for line in lines {
        let at = x(line);
        dots.push(Dot { x: at, y: line.recall.mean, half: line.recall.half });
        optimum.push((at, line.optimum_lower.mean - 0.004, line.optimum_upper.mean + 0.004));
    }
    dots.sort_by(|a, b| a.x.total_cmp(&b.x));
    optimum.sort_by(|a, b| a.0.total_cmp(&b.0));
    (dots, optimum)
}

const SHARES: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

fn curves(
    title: &str,
    x_label: &str,
    xs: &[f64],
    policies: &[String],
    of: impl Fn(&str) -> (Vec<Dot>, Vec<(f64, f64, f64)>),
) -> String {
    let mut chart = Chart::new(title, Axis::over(xs), Axis::even(0.0, 1.0));
    chart.axes(x_label, xs, "recall", &SHARES);
    for (number, policy) in policies.iter().enumerate() {
        let (dots, optimum) = of(policy);
        if number == 0 {
            chart.band("band f7", "optimum", &optimum);
        }
        chart.line(number, policy, &dots);
    }
    chart.svg()
}

fn value_of(line: &Line) -> f64 {
    let last = line.varied.rsplit(';').next().unwrap_or_default();
    let text = last.rsplit('=').next().unwrap_or_default();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    digits.parse().unwrap_or(0.0)
}

/// Recall over the number that was varied last: the attack-cost curve where that is a rate.
fn varied(plan: &Plan, lines: &[Line]) -> Option<Picture> {
    let vary = plan.study.vary.last()?;
    let first = lines.first()?;
    let same = |line: &&Line| {
        let head = |line: &Line| line.varied.rsplit_once(';').map(|(head, _)| head.to_owned());
        line.expect_max == first.expect_max
            && line.revision == first.revision
            && head(line) == head(first)
    };
    let mut xs: Vec<f64> = lines.iter().filter(same).map(value_of).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let title = format!("Recall over {}", vary.path);
    let of = |policy: &str| {
        dots(lines.iter().filter(same).filter(|line| line.policy == policy), value_of)
    };
    let svg = curves(&title, &vary.path, &xs, &plan.study.policies, of);
    let caption = format!(
        "{title}, expect_max {}. Bars are 95 % intervals over {} replications; the grey band is \
         the optimum's bracket.",
        first.expect_max, plan.study.replications
    );
    Some(Picture { name: "recall-over-attack".into(), caption, svg })
}

fn by_size(plan: &Plan, lines: &[Line]) -> Option<Picture> {
    if plan.study.expect_max.len() < 2 {
        return None;
    }
    let first = lines.first()?;
    let same = |line: &&Line| line.varied == first.varied && line.revision == first.revision;
    let mut xs: Vec<f64> = plan.study.expect_max.iter().map(|size| f64::from(*size)).collect();
    xs.sort_by(f64::total_cmp);
    let size = |line: &Line| f64::from(line.expect_max);
    let of =
        |policy: &str| dots(lines.iter().filter(same).filter(|line| line.policy == policy), size);
    let svg = curves("Recall over size", "expect_max", &xs, &plan.study.policies, of);
    let caption = format!(
        "Recall over the table's limit{}. Bars are 95 % intervals; the grey band is the optimum's \
         bracket.",
        if first.varied.is_empty() { String::new() } else { format!(" ({})", first.varied) }
    );
    Some(Picture { name: "recall-over-size".into(), caption, svg })
}

fn occupancy(detail: &Detail, varied_to: &str) -> Picture {
    let measure = &detail.outcome.measure;
    let (width, limit) = (measure.width as f64, f64::from(detail.cell.expect_max));
    let rows: Vec<(f64, f64, f64)> = measure
        .bins
        .iter()
        .enumerate()
        .map(|(at, bin)| {
            let time = (at as f64 + 0.5) * width / 1e6;
            (time, bin.stale as f64 / width, bin.slots as f64 / width)
        })
        .collect();
    let end = measure.bins.len() as f64 * width / 1e6;
    let policy = &detail.cell.policy;
    let title = format!("Slots over time under {policy}");
    let top = rows.iter().map(|row| row.2).fold(limit, f64::max) * 1.05;
    let mut chart = Chart::new(&title, Axis::even(0.0, end), Axis::even(0.0, top));
    let steps = |to: f64| -> Vec<f64> { (0..=4).map(|step| to * f64::from(step) / 4.0).collect() };
    chart.axes("seconds", &steps(end), "slots in use", &steps(limit));
    let stale: Vec<_> = rows.iter().map(|&(x, stale, _)| (x, 0.0, stale)).collect();
    chart.band("stale", "stale: never matched", &stale);
    chart.band("useful", "useful: will be matched", &rows);
    chart.limit("expect_max", limit);
    let evicted = measure.bins.iter().zip(&rows).filter(|(bin, _)| bin.evicted > 0);
    let evicted: Vec<f64> = evicted.map(|(_, row)| row.0).collect();
    chart.ticks("evictions", &evicted);
    Picture {
        name: format!("slots-{}", file_name(policy)),
        caption: format!(
            "{title}: expect_max {}, first replication{}.",
            detail.cell.expect_max,
            if varied_to.is_empty() { String::new() } else { format!(" at {varied_to}") }
        ),
        svg: chart.svg(),
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2328;--soft:#57606a;--rule:#d8dee4;--ground:#fff;--tint:#f6f8fa}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4b0;--rule:#30363d;--ground:#14171a;--tint:#1c2126}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem}p.soft,figcaption{color:var(--soft)}\
figure{margin:1.2rem 0}figure svg{width:100%;min-width:34rem;height:auto;display:block}figure{overflow-x:auto}figcaption{font-size:.9rem}\
.verdict{border-left:4px solid #2a78d6;background:var(--tint);padding:.8rem 1rem;font-size:1.05rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;width:100%}\
th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--rule);white-space:nowrap}\
th:first-child,td:first-child,td.text,th.text{text-align:left}td.text{white-space:normal}\
dt{font-weight:600}dd{margin:0 0 .4rem 1.2rem}\
code{background:var(--tint);padding:.1rem .3rem;overflow-wrap:anywhere}tr.best td{font-weight:600}\
@media print{body{max-width:none;margin:0;color:#000;background:#fff}table{font-size:.58rem}th,td{padding:.15rem .22rem}figure,tr{break-inside:avoid}.scroll{overflow:visible}figure svg{max-height:12cm;min-width:0}}";

/// The page.
#[must_use]
pub fn page(plan: &Plan, lines: &[Line], pictures: &[Picture], command: &str) -> String {
    let mut body = String::new();
    let study = &plan.study;
    let scenario = plan.points[0].document.read();
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"soft\">{}</p><p class=\"verdict\" id=\"verdict\">{}</p>",
        escape(&study.name),
        escape(if study.about.is_empty() { &scenario.about } else { &study.about }),
        verdict(lines)
    );
    body += "<h2>Pictures</h2>";
    for picture in pictures {
        let Picture { name, caption, svg } = picture;
        let caption = escape(caption);
        let _ =
            write!(body, "<figure id=\"{name}\">{svg}<figcaption>{caption}</figcaption></figure>");
    }
    body += "<h2>Every policy</h2>";
    body += &table(lines);
    body += "<h2>Who suffers, what stands open, what it costs</h2>";
    body += &metrics(lines);
    body += "<h2>Parameters, and where they come from</h2><div class=\"scroll\"><table id=\"provenance\">\
        <tr><th class=\"text\">what</th><th class=\"text\">value</th><th class=\"text\">source</th></tr>";
    for one in plan.points[0].document.provenance() {
        let _ = write!(
            body,
            "<tr><td class=\"text\">{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td></tr>",
            escape(&one.path),
            escape(&one.value),
            escape(&one.source)
        );
    }
    body += "</table></div><h2>How to read it</h2><p>Recall is the share of announced connections \
        that arrived in time and found their expectation. The optimum is what a policy that knew the \
        future would reach: open loop (nobody tries again), one packet for one expectation, timeouts \
        as given. Every number carries its 95 % interval over independent replications, one at a \
        time: of many, one in twenty misses. The warm-up is cut off by MSER-5, but not from what was \
        thrown out or refused by the full table, nor from the second table (even classes excepted): \
        these are of the whole run. Useful announcements are lost by being thrown out, refused by the full \
        table, or otherwise; stale slots hold what is never matched. What the second table says:</p><dl \
        id=\"metrics-mean\">";
    for (name, means) in METRICS {
        let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(means));
    }
    body += "</dl>";
    let _ = write!(
        body,
        "<h2>Reproduce</h2><p><code>{}</code></p><p class=\"soft\">seed {}, plan {}, {}, HZ {}</p>",
        escape(command),
        study.seed,
        plan.hash,
        FORMAT,
        study.hz
    );
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{} · nfexp</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(&study.name)
    )
}

/// What can be said of the point at which the policies differ most: who is best, and whether
/// that is certain.
fn verdict(lines: &[Line]) -> String {
    let apart = |line: &Line| line.against_first.mean;
    let Some(last) = lines.iter().max_by(|a, b| apart(a).total_cmp(&apart(b))) else {
        return "Nothing was run.".into();
    };
    let here: Vec<&Line> = lines
        .iter()
        .filter(|line| {
            (&line.varied, &line.revision, line.expect_max)
                == (&last.varied, &last.revision, last.expect_max)
        })
        .collect();
    let best = here.iter().max_by(|a, b| a.recall.mean.total_cmp(&b.recall.mean));
    let (Some(best), Some(first)) = (best, here.first()) else { return String::new() };
    let place = match last.varied.is_empty() {
        true => format!("At expect_max {}", last.expect_max),
        false => {
            format!("At {} and expect_max {}", last.varied.replace(';', ", "), last.expect_max)
        }
    };
    let others = lines.iter().filter(|line| line.policy != first.policy).count();
    let certain = best.against_first.mean - best.against_first.half > 0.0;
    let compared = if best.policy == first.policy {
        format!("{} is the best of these", first.policy)
    } else if certain {
        format!(
            "{} keeps {} more than {} (paired difference {}{})",
            best.policy,
            short((best.against_first.mean * 1000.0).round() / 1000.0),
            first.policy,
            best.against_first,
            match others {
                1 => String::new(),
                _ => format!(", the largest of {others}, with the interval of one"),
            }
        )
    } else {
        format!("no policy is certainly better than {}: inconclusive", first.policy)
    };
    let steady = if lines.iter().all(|line| line.steady) {
        ""
    } else {
        " Some lines reached no steady state; they are marked."
    };
    escape(&format!(
        "{place}: {} keeps {} of the announced connections that came in time, an optimum {} to {}; \
         {compared}.{steady}",
        first.policy,
        first.recall,
        short((first.optimum_lower.mean * 1e4).round() / 1e4),
        short((first.optimum_upper.mean * 1e4).round() / 1e4)
    ))
}

/// What was kept and what was lost.
fn table(lines: &[Line]) -> String {
    let worths = lines.iter().any(Line::has_worths);
    let mut heads = vec!["recall", "optimum", "regret"];
    if worths {
        heads.extend(["worth", "its optimum"]);
    }
    heads.extend(["thrown out", "table full", "stale", "worst kind"]);
    rows("policies", lines, &heads, |line| {
        let bracket = |lower: f64, upper: f64| format!("[{lower:.4}, {upper:.4}]");
        let mut cells = vec![
            line.recall.to_string(),
            bracket(line.optimum_lower.mean, line.optimum_upper.mean),
            line.regret.to_string(),
        ];
        if worths {
            let optimum = bracket(line.worth_lower.mean, line.worth_upper.mean);
            cells.extend([line.worth.to_string(), optimum]);
        }
        let lost = [line.premature, line.refused_table, line.stale, line.least_kind];
        cells.extend(lost.iter().map(Estimate::to_string));
        cells
    })
}

/// Who suffers, how much stands open, and what the lock's holder walks.
fn metrics(lines: &[Line]) -> String {
    let heads: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
    rows("metrics", lines, &heads, |line| metrics_of(line).to_vec())
}

/// A table with a head for each point and a row for each line.
fn rows(id: &str, lines: &[Line], heads: &[&str], cells: impl Fn(&Line) -> Vec<String>) -> String {
    let mut out = format!("<div class=\"scroll\"><table id=\"{id}\">");
    let tagged = |tag: &str, texts: &[String]| -> String {
        texts.iter().map(|text| format!("<{tag}>{}</{tag}>", escape(text))).collect()
    };
    let mut head = vec!["policy".to_owned(), "expect_max".to_owned()];
    head.extend(heads.iter().map(|head| (*head).to_owned()));
    let point = |line: &Line| (line.revision.clone(), line.varied.clone());
    for of_point in lines.chunk_by(|a, b| point(a) == point(b)) {
        let (revision, varied) = point(&of_point[0]);
        let _ = write!(
            out,
            "<tr><th colspan=\"{}\">Linux {} {}</th></tr><tr>{}</tr>",
            head.len(),
            escape(&revision),
            escape(&varied.replace(';', ", ")),
            tagged("th", &head)
        );
        for line in of_point {
            let unsteady = if line.steady { "" } else { " (not steady)" };
            let mut row = vec![format!("{}{unsteady}", line.policy), line.expect_max.to_string()];
            row.extend(cells(line));
            let _ = write!(out, "<tr>{}</tr>", tagged("td", &row));
        }
    }
    out + "</table></div>"
}
