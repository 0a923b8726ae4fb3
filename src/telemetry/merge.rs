//! Merges the Prometheus texts of several processes into one. Concatenation would be invalid: each metric name may
//! appear once, followed by all its samples. Labels tell the samples of the processes apart.

use std::collections::BTreeMap;

/// One metric name: its description and its samples.
#[derive(Debug)]
struct Family {
    /// Index of the describing text.
    told_by: usize,
    about: String,
    samples: String,
}

/// The samples of all `texts` by name; the first text that describes a name wins.
pub(crate) fn merge(texts: &[String]) -> String {
    let mut families = BTreeMap::<&str, Family>::new();
    for (told_by, text) in texts.iter().enumerate() {
        let mut name = "";
        for line in text.split_inclusive('\n') {
            let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            name = about.and_then(|about| about.split_whitespace().next()).unwrap_or(name);
            let new = || Family { told_by, about: String::new(), samples: String::new() };
            let family = families.entry(name).or_insert_with(new);
            if about.is_none() {
                family.samples.push_str(line);
            } else if family.told_by == told_by {
                family.about.push_str(line);
            }
        }
    }
    families.into_values().flat_map(|family| [family.about, family.samples]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_with_the_samples_of_all() {
        let own = "# HELP a An a\n# TYPE a counter\na 1\n# HELP c A c\n# TYPE c gauge\nc 9\n";
        let one = "# HELP a An a\n# TYPE a counter\na{worker=\"1\"} 2\n# HELP b A b\n# TYPE b gauge\nb{worker=\"1\"} 3\n";
        let two = "# HELP a An a\n# TYPE a counter\na{worker=\"2\"} 4\n";
        let merged = merge(&[own, one, two].map(str::to_owned));
        let expected = "# HELP a An a\n# TYPE a counter\na 1\na{worker=\"1\"} 2\na{worker=\"2\"} 4\n\
                        # HELP b A b\n# TYPE b gauge\nb{worker=\"1\"} 3\n\
                        # HELP c A c\n# TYPE c gauge\nc 9\n";
        assert_eq!(merged, expected);
    }

    #[test]
    fn one_text_alone_keeps_all_it_says() {
        let own = "# HELP a An a\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n";
        assert_eq!(merge(&[own.to_owned()]), own);
    }
}
