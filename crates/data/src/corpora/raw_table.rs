//! Tables as their collectors publish them, and how the one table is made of each that all others read here: separated by commas, with
//! a header, the class last, `?` for what is missing.
//!
//! What is made is checked against a digest like any other corpus, so that a source that changed is told from one that did not.

/// How a published table is written: a row a line, values separated by commas, with or without blanks and single quotes around them. What
/// stands before a line `@data` (ARFF) is no row, nor is an empty line or one that begins with `%`.
#[derive(Debug)]
pub struct RawTable {
    /// Lines before the first row, where there is no `@data`.
    pub skipped: usize,
    /// Where the class stands.
    pub class: ClassColumn,
    /// The classes that are kept; all if there are none.
    pub kept: &'static [&'static str],
    /// Names of the columns in the order of the table that is made.
    pub header: &'static str,
    /// Columns of numbers that are categories all the same. No cell's key holds them: a change needs a new version of the task.
    pub categories: &'static [&'static str],
    /// For columns of codes from 1, in that order, what they stand for; none for columns of other values.
    pub codes: &'static [&'static [&'static str]],
}

/// Where the class stands in a published table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassColumn {
    /// Before all others.
    First,
    /// After all others.
    Last,
}

impl RawTable {
    /// The table made of a published one. A code that stands for nothing is left as it is, and the digest will tell.
    #[must_use]
    pub fn make(&self, published: &str) -> String {
        let body = match published.split_once("\n@data") {
            Some((_, body)) => body.trim_start_matches('\r').trim_start_matches('\n'),
            None => published,
        };
        let mut table = format!("{}\n", self.header);
        let rows =
            body.lines().skip(self.skipped).filter(|line| !line.trim().is_empty() && !line.starts_with('%'));
        for row in rows {
            let mut values: Vec<&str> = row.split(',').map(|value| value.trim().trim_matches('\'')).collect();
            if self.class == ClassColumn::First {
                values.rotate_left(1);
            }
            for (value, meanings) in values.iter_mut().zip(self.codes) {
                let code = value.parse::<usize>().ok().and_then(|code| code.checked_sub(1));
                *value = code.and_then(|code| meanings.get(code)).unwrap_or(value);
            }
            if self.kept.is_empty() || values.last().is_some_and(|class| self.kept.contains(class)) {
                table.push_str(&values.join(","));
                table.push('\n');
            }
        }
        table
    }
}

/// All rows, with the class last.
const PLAIN: RawTable =
    RawTable { skipped: 0, class: ClassColumn::Last, kept: &[], header: "", categories: &[], codes: &[] };

pub(super) static VOTING: RawTable = RawTable {
    header: "handicapped-infants,water-project-cost-sharing,adoption-of-the-budget-resolution,physician-fee-freeze,el-salvador-aid,\
             religious-groups-in-schools,anti-satellite-test-ban,aid-to-nicaraguan-contras,mx-missile,immigration,\
             synfuels-corporation-cutback,education-spending,superfund-right-to-sue,crime,duty-free-exports,\
             export-administration-act-south-africa,class",
    ..PLAIN
};

pub(super) static MUSHROOM: RawTable = RawTable {
    header: "cap-shape,cap-surface,cap-color,bruises?,odor,gill-attachment,gill-spacing,gill-size,gill-color,stalk-shape,stalk-root,\
             stalk-surface-above-ring,stalk-surface-below-ring,stalk-color-above-ring,stalk-color-below-ring,veil-type,\
             veil-color,ring-number,ring-type,spore-print-color,population,habitat,class",
    ..PLAIN
};

pub(super) static BREAST_CANCER: RawTable = RawTable {
    header: "age,menopause,tumor_size,inv_nodes,node_caps,deg_malig,breast,breast_quad,irradiat,class",
    categories: &["deg_malig"],
    ..PLAIN
};

pub(super) static SICK: RawTable = RawTable {
    header: "age,sex,on thyroxine,query on thyroxine,on antithyroid medication,sick,pregnant,thyroid surgery,I131 treatment,\
             query hypothyroid,query hyperthyroid,lithium,goitre,tumor,hypopituitary,psych,TSH measured,TSH,T3 measured,T3,\
             TT4 measured,TT4,T4U measured,T4U,FTI measured,FTI,TBG measured,TBG,referral source,class",
    ..PLAIN
};

/// Pixels by row and column.
pub(super) static OPTDIGITS_0_1: RawTable = RawTable {
    kept: &["0", "1"],
    header: "p00,p01,p02,p03,p04,p05,p06,p07,p10,p11,p12,p13,p14,p15,p16,p17,p20,p21,p22,p23,p24,p25,p26,p27,\
             p30,p31,p32,p33,p34,p35,p36,p37,p40,p41,p42,p43,p44,p45,p46,p47,p50,p51,p52,p53,p54,p55,p56,p57,\
             p60,p61,p62,p63,p64,p65,p66,p67,p70,p71,p72,p73,p74,p75,p76,p77,class",
    ..PLAIN
};

pub(super) static ADULT: RawTable = RawTable {
    header: "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,capital_gain,capital_loss,\
             hours_per_week,native_country,class",
    ..PLAIN
};

const NUMBER: &[&str] = &[];
const NO_YES: &[&str] = &["no", "yes"];
const DEFECT: &[&str] = &["no", "lacunar", "lac marginal", "lac central"];

/// Codes as the data set's own description lists them.
pub(super) static LYMPHOGRAPHY: RawTable = RawTable {
    skipped: 1,
    class: ClassColumn::First,
    kept: &[],
    header: "lymphatics,bl_affere,bl_lymph_c,bl_lymph_s,by_pass,extravasates,regen,early_uptake,lym_dimin,lym_enlar,changes_lym,\
             defect,changes_node,changes_stru,spec_forms,dislocation,exclusion,no_nodes,class",
    categories: &["lym_dimin", "lym_enlar", "no_nodes"],
    codes: &[
        &["normal", "arched", "deformed", "displaced"],
        NO_YES,
        NO_YES,
        NO_YES,
        NO_YES,
        NO_YES,
        NO_YES,
        NO_YES,
        NUMBER,
        NUMBER,
        &["bean", "oval", "round"],
        DEFECT,
        DEFECT,
        &["no", "grainy", "drop-like", "coarse", "diluted", "reticular", "stripped", "faint"],
        &["no", "chalices", "vesicles"],
        NO_YES,
        NO_YES,
        NUMBER,
        &["normal", "metastases", "malign lymph", "fibrosis"],
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_blanks_go_and_comments_are_no_rows() {
        let published =
            "% a comment\n@relation x\n@attribute 'a' {'p','q'}\n@data\n'p',?,'yes'\n'q', 2 ,'no'\n\n%\n%\n";
        let table = RawTable { header: "a,b,class", ..PLAIN };
        assert_eq!(table.make(published), "a,b,class\np,?,yes\nq,2,no\n");
        assert_eq!(table.make(&published.replace('\n', "\r\n")), "a,b,class\np,?,yes\nq,2,no\n");
        let one = RawTable { header: "a,b,class", kept: &["no"], ..PLAIN };
        assert_eq!(one.make(published), "a,b,class\nq,2,no\n");
    }

    #[test]
    fn the_class_comes_last_and_codes_become_what_they_mean() {
        let table = RawTable {
            skipped: 1,
            class: ClassColumn::First,
            kept: &[],
            header: "side,size,class",
            categories: &[],
            codes: &[&["left", "right"], NUMBER, &["well", "ill"]],
        };
        assert_eq!(table.make("c,a,b\n2,1,7\n1,2,0\n"), "side,size,class\nleft,7,ill\nright,0,well\n");
        // What stands for nothing stays, so that the digest differs.
        assert_eq!(table.make("c,a,b\n3,0,7\n"), "side,size,class\n0,7,3\n");
    }
}
