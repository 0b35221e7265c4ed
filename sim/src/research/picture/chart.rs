// SPDX-License-Identifier: GPL-2.0-only
//! A chart with axes: lines with intervals, areas, marks.
//!
//! Colours are classes, so that one style serves a light page, a dark one and a printer; lines
//! differ by mark as well as by colour.

use std::fmt::Write;

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Its least value.
    pub from: f64,
    /// Its greatest.
    pub to: f64,
    /// Whether equal ratios are equally far apart; zero, if it occurs, stands at the very left.
    pub log: bool,
}

impl Axis {
    /// An axis of even steps.
    #[must_use]
    pub fn even(from: f64, to: f64) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, log: false }
    }

    /// An axis that holds these values, by ratio if they span more than a decade.
    #[must_use]
    pub fn over(values: &[f64]) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (low, high) =
            (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        if high > 8.0 * low {
            let zero = values.contains(&0.0);
            let from = if zero { low / 2.0 } else { low };
            return Self { from, to: high, log: true };
        }
        Self::even(values.iter().copied().fold(f64::INFINITY, f64::min), high)
    }

    fn share(&self, value: f64) -> f64 {
        let share = match self.log {
            true => libm::log(value.max(self.from) / self.from) / libm::log(self.to / self.from),
            false => (value - self.from) / (self.to - self.from),
        };
        share.clamp(0.0, 1.0)
    }
}

/// One value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Where on the horizontal axis.
    pub x: f64,
    /// Its value.
    pub y: f64,
    /// Half its interval.
    pub half: f64,
}

/// A chart being drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    body: String,
    legend: Vec<(String, String)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;

/// The style of every chart, alone or in a page.
pub const STYLE: &str = "\
svg{--ink:#1f2328;--soft:#6a737d;--grid:#e4e7eb;--ground:#fff;\
--c0:#2a78d6;--c1:#c2410c;--c2:#0f8a63;--c3:#7a4fc9;--c4:#a16207;--c5:#c0347a;--c6:#3f6b1f;--c7:#576071;\
--bad:#c62828;--stale:#c9ced6;font:13px system-ui,sans-serif;background:var(--ground)}\
@media (prefers-color-scheme:dark){svg{--ink:#e6e8eb;--soft:#9aa4b0;--grid:#30363d;--ground:#14171a;\
--c0:#5a9cf0;--c1:#f08a4b;--c2:#3fc191;--c3:#a98af0;--c4:#d8a531;--c5:#ee78ad;--c6:#8fc063;--c7:#9fa9b8;\
--bad:#ff7b72;--stale:#4a525c}}\
@media print{svg{--ink:#000;--soft:#333;--grid:#ccc;--ground:#fff}}\
svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .grid{stroke:var(--grid)}\
svg .line{fill:none;stroke-width:2}svg .band{opacity:.4;stroke:none}\
svg .limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:6 4;fill:none}\
svg .stale{fill:var(--stale)}svg .useful{fill:var(--c0);opacity:.75}svg .mark{stroke:var(--bad)}\
svg .s0{stroke:var(--c0)}svg .f0{fill:var(--c0)}svg .s1{stroke:var(--c1)}svg .f1{fill:var(--c1)}\
svg .s2{stroke:var(--c2)}svg .f2{fill:var(--c2)}svg .s3{stroke:var(--c3)}svg .f3{fill:var(--c3)}\
svg .s4{stroke:var(--c4)}svg .f4{fill:var(--c4)}svg .s5{stroke:var(--c5)}svg .f5{fill:var(--c5)}\
svg .s6{stroke:var(--c6)}svg .f6{fill:var(--c6)}svg .s7{stroke:var(--c7)}svg .f7{fill:var(--c7)}";

impl Chart {
    /// An empty one.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, body: String::new(), legend: Vec::new() }
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.x.share(x)
    }

    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.y.share(y)
    }

    /// Lines at the axes' values, with their labels.
    pub fn axes(&mut self, x_label: &str, xs: &[f64], y_label: &str, ys: &[f64]) {
        for &y in ys {
            let (py, right) = (self.py(y), WIDTH - RIGHT);
            let _ = write!(
                self.body,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>\
                 <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                py + 4.0,
                short(y)
            );
        }
        let mut last = f64::NEG_INFINITY;
        for &x in xs {
            let px = self.px(x);
            if px - last < 34.0 {
                continue;
            }
            last = px;
            let _ = write!(
                self.body,
                "<text class=\"soft\" x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM + 18.0,
                short(x)
            );
        }
        let _ = write!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"14\" y=\"{:.1}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 14 {:.1})\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            escape(x_label),
            (TOP + HEIGHT - BOTTOM) / 2.0,
            (TOP + HEIGHT - BOTTOM) / 2.0,
            escape(y_label)
        );
    }

    /// A line through dots, with a bar for each interval.
    pub fn line(&mut self, number: usize, name: &str, dots: &[Dot]) {
        let colour = number % 8;
        let dash = if number >= 8 { " stroke-dasharray=\"7 3\"" } else { "" };
        let mut path = String::new();
        for (at, dot) in dots.iter().enumerate() {
            let step = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", self.px(dot.x), self.py(dot.y));
        }
        let _ = write!(self.body, "<path class=\"line s{colour}\"{dash} d=\"{path}\"/>");
        for dot in dots {
            let (x, y) = (self.px(dot.x), self.py(dot.y));
            if dot.half.is_finite() {
                let (low, high) = (self.py(dot.y - dot.half), self.py(dot.y + dot.half));
                let _ = write!(
                    self.body,
                    "<line class=\"s{colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" \
                     y2=\"{high:.1}\"/>"
                );
            }
            self.body += &mark(number, x, y);
        }
        let sample = format!(
            "<line class=\"line s{colour}\"{dash} x1=\"0\" x2=\"22\" y1=\"7\" y2=\"7\"/>{}",
            mark(number, 11.0, 7.0)
        );
        self.legend.push((name.to_owned(), sample));
    }

    /// A band between two lines.
    pub fn band(&mut self, class: &str, name: &str, rows: &[(f64, f64, f64)]) {
        let mut path = String::new();
        for (at, (x, _, high)) in rows.iter().enumerate() {
            let step = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", self.px(*x), self.py(*high));
        }
        for (x, low, _) in rows.iter().rev() {
            let _ = write!(path, "L{:.1} {:.1}", self.px(*x), self.py(*low));
        }
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{path}Z\"/>");
        let sample = format!("<rect class=\"{class}\" width=\"22\" height=\"14\"/>");
        self.legend.push((name.to_owned(), sample));
    }

    /// A level that is not exceeded.
    pub fn limit(&mut self, name: &str, y: f64) {
        let (py, right) = (self.py(y), WIDTH - RIGHT);
        let _ = write!(
            self.body,
            "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>"
        );
        let sample = "<line class=\"limit\" x1=\"0\" x2=\"22\" y1=\"7\" y2=\"7\"/>".to_owned();
        self.legend.push((name.to_owned(), sample));
    }

    /// Short marks at the foot.
    pub fn ticks(&mut self, name: &str, xs: &[f64]) {
        let foot = HEIGHT - BOTTOM;
        for x in xs {
            let x = self.px(*x);
            let _ = write!(
                self.body,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{foot}\" y2=\"{}\"/>",
                foot + 5.0
            );
        }
        let sample = "<line class=\"mark\" x1=\"11\" x2=\"11\" y1=\"3\" y2=\"11\"/>".to_owned();
        self.legend.push((name.to_owned(), sample));
    }

    /// The chart as SVG, with its own style.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut legend = String::new();
        let (mut x, mut y) = (LEFT, HEIGHT + 8.0);
        for (name, sample) in &self.legend {
            let width = 40.0 + 7.2 * name.chars().count() as f64;
            if x + width > WIDTH {
                (x, y) = (LEFT, y + 22.0);
            }
            let _ = write!(
                legend,
                "<g transform=\"translate({x:.1} {y:.1})\">{sample}<text x=\"28\" y=\"12\">{}</text></g>",
                escape(name)
            );
            x += width;
        }
        let height = y + 24.0;
        let title = escape(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\" aria-label=\"{title}\"><title>{title}</title><style>{STYLE}</style>{}{legend}</svg>",
            self.body
        )
    }
}

fn mark(number: usize, x: f64, y: f64) -> String {
    let colour = number % 8;
    match number % 4 {
        0 => format!("<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        1 => format!(
            "<rect class=\"f{colour}\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"/>",
            x - 3.5,
            y - 3.5
        ),
        2 => format!("<path class=\"f{colour}\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.0),
        _ => format!("<path class=\"f{colour}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>", y - 5.0),
    }
}

/// A number, as short as it is clear.
#[must_use]
pub fn short(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Text as HTML and SVG take it.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}
