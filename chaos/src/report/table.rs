//! Formats rows and columns as text: aligned for a terminal, piped for Markdown. Cells are already text.

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heads: Vec<Head>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Head {
    name: String,
    is_number: bool,
}

impl Table {
    /// Adds a column of words.
    pub(crate) fn words(mut self, name: &str) -> Self {
        self.heads.push(Head { name: name.to_owned(), is_number: false });
        self
    }

    /// Adds a column of numbers, aligned to the right.
    pub(crate) fn numbers(mut self, name: &str) -> Self {
        self.heads.push(Head { name: name.to_owned(), is_number: true });
        self
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table aligned with spaces, each line indented by two.
    pub(crate) fn aligned(&self) -> String {
        let heads: Vec<_> = self.heads.iter().map(|head| head.name.clone()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&heads]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..heads.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells =
                row.iter().zip(&self.heads).zip(&widths).map(|((cell, head), width)| match head.is_number {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                });
            format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        [&heads].into_iter().chain(&self.rows).map(line).collect()
    }

    /// As Markdown.
    pub(crate) fn piped(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let escaped: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| cell.replace('|', "\\|")).collect()).collect();
        let rule = self.heads.iter().map(|head| if head.is_number { "---:" } else { "---" }).collect();
        let mut text = line(self.heads.iter().map(|head| head.name.as_str()).collect()) + &line(rule);
        text.extend(escaped.iter().map(|row| line(row.iter().map(String::as_str).collect())));
        text
    }
}
