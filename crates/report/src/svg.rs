//! Charts as SVG: the one file that knows how a picture is drawn.
//!
//! Written by hand, because the figures need what plotting crates do not offer together: ticks at exactly the
//! settings that were run, labels at the ends of the lines that never overlap, a `viewBox` (without which a
//! reader's browser crops instead of scaling down), and the same bytes everywhere. kuva 0.6, for one, places
//! its own ticks, has no labels at line ends and writes no `viewBox`.

use std::fmt::Write;

/// Colours that stay apart under every common colour blindness (Okabe & Ito 2008), without the yellow that is too
/// pale for lines on white.
const PALETTE: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

const DASHES: [&str; 5] = ["", "9 4", "2 3", "10 3 2 3", "5 3"];

/// Shapes of markers.
const MARKERS: usize = 7;

const INK: &str = "#222222";
const MUTED: &str = "#5f5f5f";
const GRID: &str = "#e4e4e4";
const WIDTH: f64 = 860.0;
const PLOT_HEIGHT: f64 = 340.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TEXT: f64 = 13.0;
const LABEL_GAP: f64 = 17.0;
const SAMPLE: f64 = 30.0;
const MARKER_GAP: f64 = 28.0;

/// How one arm is drawn: colour, dash and marker, so that it is told apart in grey as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Index of the colour.
    pub(crate) colour: usize,
    /// Index of the dash.
    pub(crate) dash: usize,
    /// Index of the marker.
    pub(crate) marker: usize,
    /// Whether markers are empty, as for controls and careless arms.
    pub(crate) hollow: bool,
}

impl Style {
    fn colour(self) -> &'static str {
        PALETTE[self.colour % PALETTE.len()]
    }

    fn dash(self) -> &'static str {
        DASHES[self.dash % DASHES.len()]
    }

    /// What is left of a style without colour: dash and marker.
    #[cfg(test)]
    pub(crate) fn look_in_grey(self) -> (&'static str, usize) {
        (self.dash(), self.marker % MARKERS)
    }
}

/// An axis: what it measures, from where to where, and where it is labelled.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Quantity and unit.
    pub(crate) label: String,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Logarithmic.
    pub(crate) log: bool,
    /// Places and their labels, ascending.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The share of the way from the lower to the upper end.
    fn share(&self, value: f64) -> f64 {
        // An interval may reach where a logarithm has no place: below all that is shown.
        if self.log && value <= 0.0 {
            return -1.0;
        }
        let place = |value: f64| if self.log { value.log10() } else { value };
        let span = place(self.high) - place(self.low);
        if span > 0.0 { (place(value) - place(self.low)) / span } else { 0.5 }
    }

    fn caption(&self) -> String {
        if self.log && !self.label.contains("log") {
            format!("{} (log scale)", self.label)
        } else {
            self.label.clone()
        }
    }
}

/// One point of a line, with its interval if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Horizontal place.
    pub(crate) x: f64,
    /// Value.
    pub(crate) y: f64,
    /// Ends of the interval.
    pub(crate) band: Option<(f64, f64)>,
}

/// A line with its label.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Name, at the end of the line.
    pub(crate) label: String,
    /// How it is drawn; a floor has none.
    pub(crate) style: Option<Style>,
    /// Points, ascending in x.
    pub(crate) points: Vec<Point>,
}

/// Lines with bands.
#[derive(Clone, Debug)]
pub(crate) struct LineChart {
    /// What is shown.
    pub(crate) title: String,
    /// How to read it.
    pub(crate) subtitle: String,
    /// Horizontal axis.
    pub(crate) x: Axis,
    /// Vertical axis.
    pub(crate) y: Axis,
    /// Lines and floors.
    pub(crate) series: Vec<Series>,
    /// So many lines that shaded intervals would hide each other: bars instead, and every line a little to the side
    /// of the one before.
    pub(crate) crowded: bool,
    /// Printed across the picture.
    pub(crate) watermark: Option<String>,
}

/// One dot for each seed.
#[derive(Clone, Debug)]
pub(crate) struct DotChart {
    /// What is shown.
    pub(crate) title: String,
    /// How to read it.
    pub(crate) subtitle: String,
    /// Horizontal axis.
    pub(crate) x: Axis,
    /// Label of the column left of the axis, for seeds that have no place on it; empty where all have one.
    pub(crate) none: String,
    /// Dots of one place that lie side by side at most.
    pub(crate) across: usize,
    /// Rows from top to bottom.
    pub(crate) rows: Vec<DotRow>,
    /// Heading of the notes at the right.
    pub(crate) note_heading: String,
    /// Printed across the picture.
    pub(crate) watermark: Option<String>,
}

/// The dots of one model.
#[derive(Clone, Debug)]
pub(crate) struct DotRow {
    /// Name.
    pub(crate) label: String,
    /// How it is drawn.
    pub(crate) style: Style,
    /// Place of each seed; `None` stands in the column left of the axis.
    pub(crate) places: Vec<Option<f64>>,
    /// Printed at the right.
    pub(crate) note: String,
}

/// Shares by row and column, a panel a model.
#[derive(Clone, Debug)]
pub(crate) struct HeatChart {
    /// What is shown.
    pub(crate) title: String,
    /// How to read it.
    pub(crate) subtitle: String,
    /// Names of the columns, the same in every panel.
    pub(crate) columns: Vec<String>,
    /// Names of the rows, the same in every panel.
    pub(crate) rows: Vec<String>,
    /// What the columns are.
    pub(crate) x_label: String,
    /// What the rows are.
    pub(crate) y_label: String,
    /// From left to right.
    pub(crate) panels: Vec<HeatPanel>,
    /// Printed across the picture.
    pub(crate) watermark: Option<String>,
}

/// The shares of one model.
#[derive(Clone, Debug)]
pub(crate) struct HeatPanel {
    /// Name.
    pub(crate) label: String,
    /// Row by row, from 0 to 1.
    pub(crate) values: Vec<Vec<f64>>,
}

impl LineChart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let widest = self.series.iter().map(|series| text_width(&series.label, TEXT)).fold(0.0, f64::max);
        let ticks = self.y.ticks.iter().map(|(_, label)| text_width(label, TEXT)).fold(0.0, f64::max);
        let height = PLOT_HEIGHT.max(self.series.len() as f64 * LABEL_GAP);
        let frame = Frame {
            left: 44.0 + ticks,
            top: TOP,
            right: WIDTH - RIGHT - widest - SAMPLE - 34.0,
            bottom: TOP + height,
        };
        let mut drawing = Drawing::new(&self.title, &self.subtitle, frame.bottom + BOTTOM);
        let x = |value: f64| frame.left + self.x.share(value) * (frame.right - frame.left);
        let y = |value: f64| frame.bottom - self.y.share(value) * (frame.bottom - frame.top);
        drawing.vertical_axis(frame, &self.y, y);
        drawing.horizontal_axis(frame, &self.x, x);

        let _ = writeln!(
            drawing.body,
            r#"<clipPath id="plot"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>"#,
            round(frame.left),
            round(frame.top),
            round(frame.right - frame.left),
            round(frame.bottom - frame.top)
        );
        drawing.body.push_str("<g clip-path=\"url(#plot)\">\n");
        let shifts = self.shifts(x);
        for (series, shift) in self.series.iter().zip(&shifts) {
            let Some(style) = series.style else { continue };
            let ends: Vec<(f64, f64, f64)> = series
                .points
                .iter()
                .filter_map(|point| point.band.map(|(low, high)| (x(point.x) + shift, y(low), y(high))))
                .collect();
            if self.crowded {
                for (place, low, high) in ends {
                    drawing.line((place, low), (place, high), style.colour(), 1.1, "");
                }
            } else if ends.len() > 1 {
                let upper = ends.iter().map(|&(place, _, high)| (place, high));
                let lower = ends.iter().rev().map(|&(place, low, _)| (place, low));
                let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
                let (path, colour) = (path(&outline), style.colour());
                let _ = writeln!(drawing.body, r#"<path d="{path}Z" fill="{colour}" fill-opacity="0.15"/>"#);
            }
        }
        for (series, shift) in self.series.iter().zip(&shifts) {
            let places: Vec<(f64, f64)> =
                series.points.iter().map(|point| (x(point.x) + shift, y(point.y))).collect();
            drawing.polyline(&places, series.style);
        }
        drawing.body.push_str("</g>\n");
        for (series, shift) in self.series.iter().zip(&shifts) {
            let Some(style) = series.style else { continue };
            let mut free_from = f64::NEG_INFINITY;
            for (index, point) in series.points.iter().enumerate() {
                let (place_x, place_y) = (x(point.x) + shift, y(point.y));
                let inside = (frame.top - 1.0..=frame.bottom + 1.0).contains(&place_y);
                // A long course of training keeps its markers apart.
                if inside && (place_x >= free_from || index + 1 == series.points.len()) {
                    drawing.marker(place_x, place_y, style);
                    free_from = place_x + MARKER_GAP;
                }
            }
        }
        self.labels(&mut drawing, frame, x, y);
        drawing.finish(frame, self.watermark.as_deref())
    }

    /// How far to the side each line is drawn.
    fn shifts(&self, x: impl Fn(f64) -> f64) -> Vec<f64> {
        let lines = self.series.iter().filter(|series| series.style.is_some()).count() as f64;
        if !self.crowded {
            return vec![0.0; self.series.len()];
        }
        let mut places: Vec<f64> =
            self.series.iter().flat_map(|series| &series.points).map(|point| x(point.x)).collect();
        places.sort_by(f64::total_cmp);
        let gaps = places.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
        let step = (0.6 * gaps.fold(f64::INFINITY, f64::min) / lines).min(2.6);
        let mut line = 0.0;
        self.series
            .iter()
            .map(|series| match series.style {
                Some(_) => {
                    line += 1.0;
                    (line - f64::midpoint(lines, 1.0)) * step
                }
                None => 0.0,
            })
            .collect()
    }

    /// Names at the ends of the lines, moved apart until none overlaps, each with a sample of its line.
    fn labels(&self, drawing: &mut Drawing, frame: Frame, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        let mut ends: Vec<(f64, f64, &Series)> = self
            .series
            .iter()
            .filter_map(|series| series.points.last().map(|point| (x(point.x), y(point.y), series)))
            .map(|(x, y, series)| (x, y.clamp(frame.top, frame.bottom), series))
            .collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        let wanted: Vec<f64> = ends.iter().map(|end| end.1).collect();
        for ((end_x, end_y, series), label_y) in
            ends.iter().zip(apart(&wanted, LABEL_GAP, frame.top, frame.bottom))
        {
            let label_x = frame.right + 24.0;
            let colour = series.style.map_or(MUTED, Style::colour);
            // A line that stops early is led to the edge, so that its label is found.
            let start = if *end_x < frame.right - 1.0 { end_x + 8.0 } else { frame.right + 6.0 };
            let _ = writeln!(
                drawing.body,
                r#"<path d="M{} {}L{} {}L{} {}" fill="none" stroke="{colour}" stroke-width="0.8" stroke-opacity="0.55"/>"#,
                round(start.min(frame.right + 6.0)),
                round(*end_y),
                round(frame.right + 6.0),
                round(*end_y),
                round(label_x - 3.0),
                round(label_y)
            );
            drawing.polyline(&[(label_x, label_y), (label_x + SAMPLE, label_y)], series.style);
            if let Some(style) = series.style {
                drawing.marker(label_x + SAMPLE / 2.0, label_y, style);
            }
            drawing.text(label_x + SAMPLE + 6.0, label_y + 4.5, &series.label, Text::LABEL);
        }
    }
}

impl DotChart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        const ROW: f64 = 36.0;
        const RADIUS: f64 = 4.4;
        const STEP: f64 = 10.2;
        let widest = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(|text| text_width(text, TEXT)).fold(0.0, f64::max)
        };
        let labels = widest(&mut self.rows.iter().map(|row| row.label.as_str()));
        let notes =
            widest(&mut self.rows.iter().map(|row| row.note.as_str()).chain([self.note_heading.as_str()]));
        let none_width =
            if self.none.is_empty() { 0.0 } else { (text_width(&self.none, TEXT) + 18.0).max(66.0) };
        let frame = Frame {
            left: 24.0 + labels + none_width,
            top: TOP + 14.0,
            right: WIDTH - RIGHT - notes - 16.0,
            bottom: TOP + 14.0 + ROW * self.rows.len().max(1) as f64,
        };
        let mut drawing = Drawing::new(&self.title, &self.subtitle, frame.bottom + BOTTOM);
        // Room for half a stack of dots at both ends.
        let inner = (frame.left + 30.0, frame.right - 30.0);
        let x = |value: f64| inner.0 + self.x.share(value) * (inner.1 - inner.0);
        let none_x = frame.left - none_width / 2.0 + 4.0;
        drawing.horizontal_axis(frame, &self.x, x);
        drawing.text(none_x, frame.bottom + 19.0, &self.none, Text { anchor: "middle", ..Text::LABEL });
        drawing.text(
            frame.right + 16.0,
            frame.top - 8.0,
            &self.note_heading,
            Text { colour: MUTED, ..Text::LABEL },
        );

        let columns: Vec<f64> = self.x.ticks.iter().map(|(value, _)| x(*value)).collect();
        let closest = columns.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count of dots")]
        let across = ((closest.min(none_width) / STEP - 0.6).floor().max(1.0) as usize).min(self.across);
        for (index, row) in self.rows.iter().enumerate() {
            let centre = frame.top + ROW * (index as f64 + 0.5);
            if index > 0 {
                drawing.line((16.0, centre - ROW / 2.0), (WIDTH - RIGHT, centre - ROW / 2.0), GRID, 0.8, "");
            }
            drawing.text(16.0, centre + 4.5, &row.label, Text::LABEL);
            drawing.text(frame.right + 16.0, centre + 4.5, &row.note, Text::LABEL);
            let mut places = row.places.clone();
            places.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            for stack in places.chunk_by(|a, b| a == b) {
                let middle = stack[0].map_or(none_x, x);
                let lines = stack.len().div_ceil(across);
                // Tall stacks are pressed together, so that they stay within their row.
                let step_y =
                    if lines > 1 { STEP.min((ROW - 2.0 * RADIUS - 3.0) / (lines as f64 - 1.0)) } else { 0.0 };
                for (line, dots) in stack.chunks(across).enumerate() {
                    for dot in 0..dots.len() {
                        let offset_x = (dot as f64 - (dots.len() as f64 - 1.0) / 2.0) * STEP;
                        let offset_y = (line as f64 - (lines as f64 - 1.0) / 2.0) * step_y;
                        drawing.circle(middle + offset_x, centre + offset_y, RADIUS, row.style);
                    }
                }
            }
        }
        // It sets the places apart from those of seeds without one.
        if !self.none.is_empty() {
            drawing.line((frame.left, frame.top), (frame.left, frame.bottom), MUTED, 1.0, "3 3");
        }
        drawing.finish(frame, self.watermark.as_deref())
    }
}

impl HeatChart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        const ROW: f64 = 27.0;
        const GAP: f64 = 26.0;
        /// Shares from here on are printed.
        const PRINTED: f64 = 0.05;
        let widest = |texts: &[String]| texts.iter().map(|text| text_width(text, TEXT)).fold(0.0, f64::max);
        let (left, top) = (40.0 + widest(&self.rows), TOP + 22.0);
        let panels = self.panels.len().max(1) as f64;
        let width = (WIDTH - RIGHT - left - (panels - 1.0) * GAP) / panels;
        let cell = (width / self.columns.len().max(1) as f64).min(64.0);
        let bottom = top + ROW * self.rows.len() as f64;
        // Names of columns rise at an angle of 45 degrees.
        let names = 18.0 + widest(&self.columns) * std::f64::consts::FRAC_1_SQRT_2;
        let mut drawing = Drawing::new(&self.title, &self.subtitle, bottom + names + 34.0);
        for (index, name) in self.rows.iter().enumerate() {
            let middle = top + ROW * (index as f64 + 0.5) + 4.5;
            drawing.text(left - 8.0, middle, name, Text { anchor: "end", ..Text::LABEL });
        }
        drawing.upright(f64::midpoint(top, bottom), &self.y_label);
        for (index, panel) in self.panels.iter().enumerate() {
            let start = left + index as f64 * (width + GAP);
            let end = start + cell * self.columns.len() as f64;
            drawing.text(start, top - 8.0, &panel.label, Text { bold: true, ..Text::LABEL });
            for (row, values) in panel.values.iter().enumerate() {
                for (column, &value) in values.iter().enumerate() {
                    let (x, y) = (start + cell * column as f64, top + ROW * row as f64);
                    let _ = writeln!(
                        drawing.body,
                        r#"<rect x="{}" y="{}" width="{}" height="{ROW}" fill="{}" fill-opacity="{}" stroke="{GRID}"/>"#,
                        round(x),
                        round(y),
                        round(cell),
                        PALETTE[0],
                        round(value.clamp(0.0, 1.0))
                    );
                    if value >= PRINTED {
                        let colour = if value > 0.5 { "#ffffff" } else { INK };
                        let how = Text { size: 11.5, anchor: "middle", colour, ..Text::LABEL };
                        drawing.text(
                            x + cell / 2.0,
                            y + ROW / 2.0 + 4.0,
                            &format!("{:.0}", 100.0 * value),
                            how,
                        );
                    }
                }
            }
            for (column, name) in self.columns.iter().enumerate() {
                let x = start + cell * (column as f64 + 0.5) + 4.0;
                let _ = writeln!(
                    drawing.body,
                    r#"<text transform="translate({} {}) rotate(-45)" font-size="{TEXT}" text-anchor="end" fill="{INK}">{}</text>"#,
                    round(x),
                    round(bottom + 14.0),
                    escape(name)
                );
            }
            let middle = f64::midpoint(start, end);
            let how = Text { anchor: "middle", ..Text::LABEL };
            drawing.text(middle, bottom + names + 22.0, &self.x_label, how);
        }
        let frame = Frame { left, top, right: WIDTH - RIGHT, bottom };
        drawing.finish(frame, self.watermark.as_deref())
    }
}

/// Where data are drawn.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// How text is set.
#[derive(Clone, Copy)]
struct Text {
    size: f64,
    anchor: &'static str,
    bold: bool,
    colour: &'static str,
}

impl Text {
    const LABEL: Self = Self { size: TEXT, anchor: "start", bold: false, colour: INK };
}

struct Drawing {
    title: String,
    height: f64,
    body: String,
}

impl Drawing {
    fn new(title: &str, subtitle: &str, height: f64) -> Self {
        let mut drawing = Self { title: title.to_owned(), height, body: String::new() };
        // A long title shrinks before it is cut off.
        let size = (16.5 * (WIDTH - 32.0) / text_width(title, 17.5)).clamp(11.0, 16.5);
        drawing.text(16.0, 27.0, title, Text { size, bold: true, ..Text::LABEL });
        let size = (12.5 * (WIDTH - 32.0) / text_width(subtitle, 12.5)).clamp(9.0, 12.5);
        drawing.text(16.0, 46.0, subtitle, Text { size, colour: MUTED, ..Text::LABEL });
        drawing
    }

    fn vertical_axis(&mut self, frame: Frame, axis: &Axis, y: impl Fn(f64) -> f64) {
        for (value, label) in &axis.ticks {
            let place = y(*value);
            self.line((frame.left, place), (frame.right, place), GRID, 1.0, "");
            self.text(frame.left - 8.0, place + 4.5, label, Text { anchor: "end", ..Text::LABEL });
        }
        self.upright(f64::midpoint(frame.top, frame.bottom), &axis.caption());
    }

    /// What the vertical axis says, from below to above.
    fn upright(&mut self, middle: f64, caption: &str) {
        let _ = writeln!(
            self.body,
            r#"<text transform="translate(20 {}) rotate(-90)" font-size="{TEXT}" text-anchor="middle" fill="{INK}">{}</text>"#,
            round(middle),
            escape(caption)
        );
    }

    fn horizontal_axis(&mut self, frame: Frame, axis: &Axis, x: impl Fn(f64) -> f64) {
        let mut free_from = f64::NEG_INFINITY;
        let last = axis.ticks.last().map(|(value, label)| x(*value) - text_width(label, TEXT) / 2.0 - 6.0);
        for (index, (value, label)) in axis.ticks.iter().enumerate() {
            let (place, half) = (x(*value), text_width(label, TEXT) / 2.0);
            self.line((place, frame.top), (place, frame.bottom), GRID, 1.0, "");
            self.line((place, frame.bottom), (place, frame.bottom + 5.0), INK, 1.0, "");
            // Every tick is drawn; labels that would touch their neighbour or the last one are not.
            let is_last = index + 1 == axis.ticks.len();
            if is_last || (place - half >= free_from && last.is_none_or(|last| place + half <= last)) {
                self.text(place, frame.bottom + 19.0, label, Text { anchor: "middle", ..Text::LABEL });
                free_from = place + half + 6.0;
            }
        }
        self.line((frame.left, frame.bottom), (frame.right, frame.bottom), INK, 1.0, "");
        let middle = f64::midpoint(frame.left, frame.right);
        self.text(middle, frame.bottom + 43.0, &axis.caption(), Text { anchor: "middle", ..Text::LABEL });
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        let _ = writeln!(
            self.body,
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{colour}" stroke-width="{width}"{dash}/>"#,
            round(from.0),
            round(from.1),
            round(to.0),
            round(to.1)
        );
    }

    /// A line of data; without a style, that of a floor.
    fn polyline(&mut self, places: &[(f64, f64)], style: Option<Style>) {
        let (colour, width, dash) =
            style.map_or((MUTED, 1.4, "6 4"), |style| (style.colour(), 2.0, style.dash()));
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        let _ = writeln!(
            self.body,
            r#"<path d="{}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dash}/>"#,
            path(places)
        );
    }

    fn circle(&mut self, x: f64, y: f64, radius: f64, style: Style) {
        let fill = if style.hollow { "#ffffff" } else { style.colour() };
        let _ = writeln!(
            self.body,
            r#"<circle cx="{}" cy="{}" r="{radius}" fill="{fill}" stroke="{}" stroke-width="1.3"/>"#,
            round(x),
            round(y),
            style.colour()
        );
    }

    fn marker(&mut self, x: f64, y: f64, style: Style) {
        const R: f64 = 4.3;
        let polygon: &[(f64, f64)] = match style.marker % MARKERS {
            0 => return self.circle(x, y, R - 0.3, style),
            1 => &[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            2 => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            3 => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            4 => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
            5 => &[
                (-0.35, -1.1),
                (0.35, -1.1),
                (0.35, -0.35),
                (1.1, -0.35),
                (1.1, 0.35),
                (0.35, 0.35),
                (0.35, 1.1),
                (-0.35, 1.1),
                (-0.35, 0.35),
                (-1.1, 0.35),
                (-1.1, -0.35),
                (-0.35, -0.35),
            ],
            _ => &[(-1.2, 0.0), (0.8, -1.1), (0.8, 1.1)],
        };
        let outline: Vec<(f64, f64)> = polygon.iter().map(|(dx, dy)| (x + R * dx, y + R * dy)).collect();
        let fill = if style.hollow { "#ffffff" } else { style.colour() };
        let _ = writeln!(
            self.body,
            r#"<path d="{}Z" fill="{fill}" stroke="{}" stroke-width="1.3" stroke-linejoin="round"/>"#,
            path(&outline),
            style.colour()
        );
    }

    fn text(&mut self, x: f64, y: f64, text: &str, how: Text) {
        let anchor =
            if how.anchor == "start" { String::new() } else { format!(r#" text-anchor="{}""#, how.anchor) };
        let bold = if how.bold { r#" font-weight="bold""# } else { "" };
        let _ = writeln!(
            self.body,
            r#"<text x="{}" y="{}" font-size="{}"{anchor}{bold} fill="{}">{}</text>"#,
            round(x),
            round(y),
            round(how.size),
            how.colour,
            escape(text)
        );
    }

    fn finish(mut self, frame: Frame, watermark: Option<&str>) -> String {
        if let Some(text) = watermark {
            let (x, y) = (f64::midpoint(frame.left, frame.right), f64::midpoint(frame.top, frame.bottom));
            let size = (40.0 * (frame.right - frame.left) / text_width(text, 40.0)).clamp(14.0, 40.0);
            let _ = writeln!(
                self.body,
                r##"<text transform="translate({} {}) rotate(-14)" font-size="{}" font-weight="bold" text-anchor="middle" fill="#D55E00" fill-opacity="0.38">{}</text>"##,
                round(x),
                round(y),
                round(size),
                escape(text)
            );
        }
        let (title, height) = (escape(&self.title), round(self.height));
        format!(
            "<!-- Generated by `seqlab report`. Do not edit: run it again. -->\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\" font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\">\n\
             <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// Places as near as possible to the wanted ones, ascending, at least `gap` apart, within `low` and `high` if they fit.
fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    // Neighbours that would overlap are pooled and centred on the mean of what they want.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for &place in wanted {
        groups.push((place, 1));
        while let [.., (upper, above), (lower, below)] = groups[..] {
            let reach = (above + below) as f64 * gap / 2.0;
            if lower - upper >= reach {
                break;
            }
            groups.truncate(groups.len() - 2);
            let size = above + below;
            let centre = (upper * above as f64 + lower * below as f64) / size as f64;
            let half = (size as f64 - 1.0) * gap / 2.0;
            groups.push((centre.min(high - half).max(low + half), size));
        }
    }
    groups
        .into_iter()
        .flat_map(|(centre, size)| {
            (0..size).map(move |index| centre + (index as f64 - (size as f64 - 1.0) / 2.0) * gap)
        })
        .collect()
}

/// Width of text in a wide common typeface (`DejaVu Sans`), so that it fits in every other.
fn text_width(text: &str, size: f64) -> f64 {
    let width = |character: char| match character {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | '!' | 'I' | ' ' => 0.32,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 0.4,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.97,
        '=' | '+' | '≥' | '<' | '>' => 0.84,
        character if character.is_uppercase() => 0.72,
        _ => 0.63,
    };
    size * text.chars().map(width).sum::<f64>()
}

fn path(places: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (index, (x, y)) in places.iter().enumerate() {
        let _ = write!(text, "{}{} {}", if index == 0 { 'M' } else { 'L' }, round(*x), round(*y));
    }
    text
}

/// Two decimals, without trailing zeros: finer than any screen, and the same bytes wherever it is computed.
fn round(value: f64) -> f64 {
    let rounded = (value * 100.0).round() / 100.0;
    if rounded == 0.0 { 0.0 } else { rounded }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_stay_in_order() {
        assert_eq!(apart(&[10.0, 50.0], 17.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(apart(&[50.0, 50.0, 50.0], 10.0, 0.0, 100.0), [40.0, 50.0, 60.0]);
        // Pressed against an end they stack up from it.
        assert_eq!(apart(&[99.0, 100.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        let crowd: Vec<f64> = (0..20).map(|index| f64::from(index % 4)).collect();
        let mut sorted = crowd;
        sorted.sort_by(f64::total_cmp);
        let places = apart(&sorted, 17.0, 0.0, 340.0);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 17.0 - 1e-9), "{places:?}");
    }

    #[test]
    fn a_log_axis_says_so_and_spaces_by_ratio() {
        let axis = Axis { label: "lag".into(), low: 2.0, high: 200.0, log: true, ticks: Vec::new() };
        assert_eq!(axis.caption(), "lag (log scale)");
        assert!((axis.share(20.0) - 0.5).abs() < 1e-12);
        let linear = Axis { log: false, ..axis };
        assert_eq!(linear.caption(), "lag");
        assert!((linear.share(20.0) - 18.0 / 198.0).abs() < 1e-12);
    }

    #[test]
    fn shares_are_shaded_and_printed_where_they_are_not_small() {
        let panel = |label: &str, values: Vec<Vec<f64>>| HeatPanel { label: label.to_owned(), values };
        let chart = HeatChart {
            title: "title".to_owned(),
            subtitle: String::new(),
            columns: vec!["de".to_owned(), "kat".to_owned()],
            rows: vec!["the".to_owned(), "cat".to_owned()],
            x_label: "Dutch, as read".to_owned(),
            y_label: "English".to_owned(),
            panels: vec![
                panel("one", vec![vec![0.97, 0.03], vec![0.25, 0.75]]),
                panel("two", vec![vec![0.5; 2]; 2]),
            ],
            watermark: None,
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("fill-opacity=").count(), 8);
        for part in [
            r#"fill-opacity="0.97""#,
            ">97</text>",
            ">25</text>",
            ">kat</text>",
            ">cat</text>",
            ">two</text>",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains(">3</text>"));
        // Rows are named once, columns under each panel.
        assert_eq!((svg.matches(">cat<").count(), svg.matches(">kat<").count()), (1, 2));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
    }
}
