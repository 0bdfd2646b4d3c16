//! Plots as SVG: axes, grid, lines, bars, and the points that a reader's pointer asks for.
//! Not which plots a report has; that is `charts`.

use std::fmt::Write as _;

use serde_json::json;

use super::SceneReport;
use super::escape::Escaped;
use super::scale::{Scale, Tick};
use crate::quantity::Quantity;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 46.0;
/// The share of its place that a bar fills.
const BAR: f64 = 0.86;
/// About how wide a character of a mark's label is.
const CHARACTER: f64 = 6.6;
/// Scenes whose beginnings are nearer than this are not both marked.
const NARROWEST: f64 = 8.0;

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows; the unit is added.
    pub label: &'static str,
    /// What its values count.
    pub quantity: Quantity,
    /// How they are laid out.
    pub scale: Scale,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A line.
    Line,
    /// A line with the area below it filled.
    Area,
    /// A line with a dot at each point, for points that are few or measured one by one.
    Dots,
    /// Bars, each around its point.
    Bars,
    /// A cross at each point, and no line.
    Crosses,
    /// A tick on the floor at each point, whatever its value: something happened there.
    Marks,
}

/// A set of points that belong together.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: &'static str,
    /// How it is drawn.
    pub shape: Shape,
    /// From left to right; where `y` is missing the line is broken.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A place that is pointed out.
#[derive(Clone, Debug)]
pub struct Note {
    /// Where.
    pub x: f64,
    /// Where.
    pub y: f64,
    /// What is written there.
    pub text: String,
}

/// A stretch of the time across which a plot goes.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Its name.
    pub name: &'static str,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Whether it belongs to the measurement: then it is shaded.
    pub measured: bool,
}

impl Stretch {
    /// A scene, on the clock of the run.
    pub fn of(scene: &SceneReport) -> Stretch {
        let (from, measured) = (scene.from_seconds, scene.measured);
        Stretch { name: scene.name, from, to: from + scene.seconds, measured }
    }
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// A name without spaces, unique on the page.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What there is to see, in a sentence with numbers.
    pub summary: String,
    /// Across.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub lines: Vec<Line>,
    /// Level lines, with their names.
    pub levels: Vec<(f64, String)>,
    /// Places pointed out.
    pub notes: Vec<Note>,
    /// The scenes of the run, where the plot goes across its time.
    pub scenes: Vec<Stretch>,
}

impl Axis {
    fn title(&self) -> String {
        let log = if matches!(self.scale, Scale::Log { .. }) { ", log scale" } else { "" };
        match self.scale.unit(self.quantity) {
            "" => format!("{}{log}", self.label),
            unit => format!("{} ({}{log})", self.label, typographic(unit)),
        }
    }

    fn shown(&self, value: f64) -> String {
        match self.scale {
            Scale::Nines { .. } if value >= 1.0 => "max".to_owned(),
            Scale::Nines { .. } => {
                let nines = -(1.0 - value).log10();
                format!("p{}", crate::quantity::number(value * 100.0, 3 + nines as usize))
            }
            _ => typographic(&self.quantity.text(value)),
        }
    }
}

/// A text with the micro sign and with spaces that do not break.
pub fn typographic(text: &str) -> String {
    let text = match text.strip_suffix("us") {
        Some(number) if number.is_empty() || number.ends_with(' ') => format!("{number}µs"),
        _ => text.to_owned(),
    };
    text.replace(' ', "\u{a0}")
}

impl Plot {
    /// The plot as an HTML figure.
    pub fn figure(&self) -> String {
        let mut out = String::new();
        let (id, title, summary) = (self.id, Escaped(self.title), Escaped(&self.summary));
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<figure class=\"plot\" id=\"{id}\">\n<figcaption><h3>{title}</h3><p>{summary}</p>\
             </figcaption>\n{legend}<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             tabindex=\"0\" aria-labelledby=\"{id}-t {id}-d\" data-points=\"{points}\">\n\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{summary}</desc>\n",
            legend = self.legend(),
            points = Escaped(self.points()),
        );
        self.shade(&mut out);
        self.axes(&mut out);
        for (index, line) in self.lines.iter().enumerate() {
            self.line(&mut out, index, line);
        }
        self.levels_and_notes(&mut out);
        out.push_str("</svg>\n</figure>\n");
        out
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.scale.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.scale.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let mut out = "<ul class=\"legend\">".to_owned();
        for (index, line) in self.lines.iter().enumerate() {
            let (class, path) = match line.shape {
                Shape::Marks => ("marks".to_owned(), "M8 9v-8M16 9v-8"),
                Shape::Crosses => (format!("crosses s{index}"), "M8 1l8 8m0 -8l-8 8"),
                _ => (format!("line s{index}"), "M1 5H23"),
            };
            let _ = write!(
                out,
                "<li><svg class=\"key\" viewBox=\"0 0 24 10\" aria-hidden=\"true\"><path \
                 class=\"{class}\" d=\"{path}\"/></svg>{}</li>",
                Escaped(line.name)
            );
        }
        out + "</ul>\n"
    }

    /// Shades what was measured, and marks and names the scenes as far as there is room.
    fn shade(&self, out: &mut String) {
        let floor = HEIGHT - BOTTOM;
        let (mut marked, mut named) = (LEFT, f64::NEG_INFINITY);
        for scene in &self.scenes {
            let (from, to) = (self.x(scene.from), self.x(scene.to));
            let (width, height) = (to - from, floor - TOP);
            if scene.measured && width > 0.0 {
                let _ = writeln!(
                    out,
                    "<rect class=\"measured\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                     height=\"{height}\"/>"
                );
            }
            if from >= marked + NARROWEST {
                let _ = writeln!(out, "<path class=\"border\" d=\"M{from:.1} {TOP}V{floor}\"/>");
                marked = from;
            }
            let name = scene.name.chars().count() as f64 * CHARACTER;
            if width > name && from > named {
                let (x, y, name) = (f64::midpoint(from, to), TOP - 4.0, Escaped(scene.name));
                let _ = writeln!(
                    out,
                    "<text class=\"scene\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{name}</text>"
                );
                named = from;
            }
        }
    }

    fn axes(&self, out: &mut String) {
        let (left, right, floor) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let _ = write!(
            out,
            "<g class=\"axes\" aria-hidden=\"true\">\n<text class=\"axis\" x=\"0\" y=\"14\">{}\
             </text><text class=\"axis\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
            Escaped(self.y.title()),
            HEIGHT - 6.0,
            Escaped(self.x.title())
        );
        for tick in self.y.scale.ticks(self.y.quantity) {
            let y = floor - tick.at * (floor - TOP);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                Escaped(tick.label)
            );
        }
        let mut taken = f64::NEG_INFINITY;
        for tick in self.x.scale.ticks(self.x.quantity) {
            let x = left + tick.at * (right - left);
            let half = label_width(&tick) / 2.0;
            let _ = write!(out, "<path class=\"tick\" d=\"M{x:.1} {floor}v5\"/>");
            // Marks of a scale may stand closer than their labels are wide.
            if x - half > taken {
                taken = x + half;
                let y = floor + 19.0;
                let label = Escaped(tick.label);
                let _ = write!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
                );
            }
            out.push('\n');
        }
        let _ = writeln!(out, "<path class=\"floor\" d=\"M{left} {floor}H{right}\"/>\n</g>");
    }

    fn line(&self, out: &mut String, index: usize, line: &Line) {
        match line.shape {
            Shape::Bars => return self.bars(out, index, line),
            Shape::Marks => return self.marks(out, line),
            Shape::Crosses => return self.crosses(out, index, line),
            Shape::Line | Shape::Area | Shape::Dots => {}
        }
        let floor = HEIGHT - BOTTOM;
        let mut path = String::new();
        let mut area = String::new();
        for run in line.points.split(|(_, y)| y.is_none()) {
            let Some(((first, _), (last, _))) = run.first().zip(run.last()) else { continue };
            let corners: Vec<String> = run
                .iter()
                .filter_map(|(x, y)| Some(format!("{:.1} {:.1}", self.x(*x), self.y((*y)?))))
                .collect();
            let corners = corners.join("L");
            let _ = write!(path, "M{corners}");
            let (first, last) = (self.x(*first), self.x(*last));
            let _ = write!(area, "M{first:.1} {floor}L{corners}L{last:.1} {floor}Z");
        }
        if line.shape == Shape::Area {
            let _ = writeln!(out, "<path class=\"area s{index}\" d=\"{area}\"/>");
        }
        let _ = writeln!(out, "<path class=\"line s{index}\" d=\"{path}\"/>");
        let lonely = line.points.iter().filter(|(_, y)| y.is_some()).count() == 1;
        if line.shape == Shape::Dots || lonely {
            for (x, y) in &line.points {
                let Some(y) = y else { continue };
                let (x, y) = (self.x(*x), self.y(*y));
                let _ = writeln!(
                    out,
                    "<circle class=\"dot s{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                );
            }
        }
    }

    fn bars(&self, out: &mut String, index: usize, line: &Line) {
        let floor = HEIGHT - BOTTOM;
        let width = (WIDTH - LEFT - RIGHT) / line.points.len().max(1) as f64 * BAR;
        let mut path = String::new();
        for (x, y) in &line.points {
            let (x, y) = (self.x(*x) - width / 2.0, self.y(y.unwrap_or(0.0)));
            let _ = write!(path, "M{x:.1} {floor}V{y:.1}h{width:.2}V{floor}Z");
        }
        let _ = writeln!(out, "<path class=\"bars s{index}\" d=\"{path}\"/>");
    }

    fn marks(&self, out: &mut String, line: &Line) {
        let floor = HEIGHT - BOTTOM;
        let ticks = line.points.iter().map(|(x, _)| format!("M{:.1} {floor}v-9", self.x(*x)));
        let _ = writeln!(out, "<path class=\"marks\" d=\"{}\"/>", ticks.collect::<String>());
    }

    fn crosses(&self, out: &mut String, index: usize, line: &Line) {
        let cross = |(x, y): &(f64, Option<f64>)| {
            let (x, y) = (self.x(*x), self.y((*y)?));
            Some(format!("M{:.1} {:.1}l8 8m0 -8l-8 8", x - 4.0, y - 4.0))
        };
        let crosses: String = line.points.iter().filter_map(cross).collect();
        let _ = writeln!(out, "<path class=\"crosses s{index}\" d=\"{crosses}\"/>");
    }

    fn levels_and_notes(&self, out: &mut String) {
        let values = self.lines.iter().flat_map(|line| line.points.iter());
        let most = values.filter_map(|(_, y)| *y).fold(0.0, f64::max);
        for (level, name) in &self.levels {
            let y = self.y(*level);
            let (right, name) = (WIDTH - RIGHT, Escaped(name));
            // Bars go past it: above them, where nothing is in the way of reading it. Lines rise to
            // it from the left.
            let (at, above, anchor) = match self.lines.iter().any(|line| line.shape == Shape::Bars)
            {
                true => (right, self.y(most.max(*level)) - 7.0, "end"),
                false => (LEFT + 6.0, y - 7.0, "start"),
            };
            let _ = writeln!(
                out,
                "<path class=\"level\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"note\" \
                 x=\"{at}\" y=\"{above:.1}\" text-anchor=\"{anchor}\">{name}</text>"
            );
        }
        for note in &self.notes {
            let (x, y, text) = (self.x(note.x), self.y(note.y), Escaped(&note.text));
            // Above to the left, where a rising curve leaves room; at the left edge below to the
            // right.
            let (at, beside, anchor) = match x {
                x if x < LEFT + 60.0 => (x + 7.0, y + 15.0, "start"),
                x => (x - 4.0, (y - 9.0).max(TOP - 4.0), "end"),
            };
            let _ = writeln!(
                out,
                "<circle class=\"dot s0\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/><text \
                 class=\"note\" x=\"{at:.1}\" y=\"{beside:.1}\" text-anchor=\"{anchor}\">{text}</text>"
            );
        }
    }

    /// What the page's script shows where the pointer is: places and texts of all points.
    fn points(&self) -> String {
        let rounded = |place: f64| (place * 10.0).round() / 10.0;
        let line = |line: &Line| {
            let counted = line.shape == Shape::Marks;
            let point = |(x, y): &(f64, Option<f64>)| {
                let y = (*y)?;
                let top = if counted { HEIGHT - BOTTOM } else { self.y(y) };
                let shown = if counted { Quantity::Count.text(y) } else { self.y.shown(y) };
                Some(json!([rounded(self.x(*x)), rounded(top), self.x.shown(*x), shown]))
            };
            let points: Vec<_> = line.points.iter().filter_map(point).collect();
            json!({ "name": line.name, "points": points })
        };
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        let (top, floor) = (TOP, HEIGHT - BOTTOM);
        json!({ "x": self.x.label, "top": top, "floor": floor, "lines": lines }).to_string()
    }
}

fn label_width(tick: &Tick) -> f64 {
    (tick.label.chars().count() as f64 + 1.0) * CHARACTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, Option<f64>)>, shape: Shape) -> Plot {
        Plot {
            id: "p",
            title: "a < b",
            summary: "one & all".to_owned(),
            x: Axis {
                label: "time",
                quantity: Quantity::Seconds,
                scale: Scale::Linear { from: 0.0, to: 10.0 },
            },
            y: Axis {
                label: "latency",
                quantity: Quantity::Micros,
                scale: Scale::amounts(790.0, Quantity::Micros),
            },
            lines: vec![Line { name: "p50", shape, points }],
            levels: Vec::new(),
            notes: Vec::new(),
            scenes: Vec::new(),
        }
    }

    #[test]
    fn scenes_are_marked_where_there_is_room_and_measurements_are_shaded() {
        let scene =
            |name, from: f64, to: f64| Stretch { name, from, to, measured: name == "measure" };
        let mut plot = plot(vec![(1.0, Some(1.0)), (9.0, Some(2.0))], Shape::Line);
        plot.scenes =
            vec![scene("open", 0.0, 0.05), scene("measure", 0.05, 8.0), scene("close", 8.0, 10.0)];
        let figure = plot.figure();
        assert_eq!(figure.matches("class=\"measured\"").count(), 1);
        assert_eq!(figure.matches("class=\"border\"").count(), 1, "two would be at one place");
        assert!(figure.contains(">measure</text>") && !figure.contains(">open</text>"));
    }

    #[test]
    fn a_missing_value_breaks_the_line() {
        let points = vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(1.0))];
        let figure = plot(points, Shape::Area).figure();
        let line = figure.split("class=\"line s0\" d=\"").nth(1).expect("a line");
        let path = line.split('"').next().expect("its path");
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(!figure.contains("NaN"), "{figure}");
    }

    #[test]
    fn figures_say_what_they_show_and_in_which_units() {
        let figure = plot(vec![(5.0, Some(400.0))], Shape::Bars).figure();
        for part in
            ["<title id=\"p-t\">a &lt; b</title>", "one &amp; all", "latency (µs)", "time (s)"]
        {
            assert!(figure.contains(part), "{part} in {figure}");
        }
    }

    #[test]
    fn a_plot_of_nothing_is_still_well_formed() {
        for shape in
            [Shape::Line, Shape::Area, Shape::Dots, Shape::Crosses, Shape::Bars, Shape::Marks]
        {
            let figure = plot(Vec::new(), shape).figure();
            assert_eq!(figure.matches("<g").count(), figure.matches("</g>").count());
            assert!(figure.ends_with("</svg>\n</figure>\n") && !figure.contains("NaN"));
        }
    }
}
