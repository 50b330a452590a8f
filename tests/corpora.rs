//! Registered corpora that are at hand, against what the registry says of them.

use data::{CORPORA, ClassColumn, Corpora, Download, RawTable};

use crate::support;

/// A table as its collectors publish it, from the one that is made of it: comments, quotes and codes are put back.
fn published(table: &RawTable, made: &str) -> String {
    let mut text = "% about this table\n".repeat(table.skipped.max(1));
    if table.skipped == 0 {
        text += "@relation table\n@data\n";
    }
    for row in made.lines().skip(1) {
        let coded = |(column, value): (usize, &str)| {
            let meanings = table.codes.get(column).copied().unwrap_or_default();
            match meanings.iter().position(|meaning| *meaning == value) {
                Some(place) => (place + 1).to_string(),
                None if value == "?" || table.skipped > 0 => value.to_owned(),
                None => format!("'{value}'"),
            }
        };
        let mut values: Vec<String> = row.split(',').enumerate().map(coded).collect();
        if table.class == ClassColumn::First {
            values.rotate_right(1);
        }
        text += &(values.join(",") + "\n");
    }
    text + "%\n"
}

#[test]
fn tables_are_made_of_what_is_published() {
    let Some(folder) = support::corpora_folder() else {
        eprintln!("skipped: SEQLAB_DATA names no folder with tables");
        return;
    };
    let corpora = Corpora { search: vec![folder], cache: "nowhere".into() };
    let mut tables = 0;
    for entry in CORPORA {
        let Download::Rows(table) = entry.download else { continue };
        let made = corpora.read_text(entry.name).unwrap();
        assert_eq!(made.lines().next(), Some(table.header), "{}", entry.name);
        assert!(table.make(&published(table, &made)) == made, "{}", entry.name);
        tables += 1;
    }
    assert_eq!(tables, 7);
}

#[test]
fn what_is_made_as_its_authors_made_it_is_what_they_published() {
    let Some(folder) = support::corpora_folder() else {
        eprintln!("skipped: SEQLAB_DATA names no folder with data sets");
        return;
    };
    // Digit, then points; the published order, which puts 1,000 signals apart for tests.
    let published = ["train", "test"]
        .map(|part| std::fs::read_to_string(folder.join(format!("pixels/mnist1d/{part}.csv"))).unwrap())
        .concat();
    let cache = tempfile::tempdir().unwrap();
    let made = Corpora { search: Vec::new(), cache: cache.path().to_owned() }.read_text("mnist-1d").unwrap();
    let numbers = |line: &str| line.split(',').map(|value| value.parse().unwrap()).collect::<Vec<f32>>();
    assert_eq!((made.lines().count(), published.lines().count()), (5000, 5000));
    for (made, published) in made.lines().map(numbers).zip(published.lines().map(numbers)) {
        assert_eq!(made.last(), published.first());
        for (made, published) in made.iter().zip(&published[1..]) {
            assert!((made - published).abs() < 1e-6, "{made} {published}");
        }
    }
}
