//! Adds to Jinja what provider files need: missing values, shapes of pictures, refusals of their own.

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value, escape_formatter};

/// How a refusal by [`fail`] is told apart from a mistake in a template.
pub(super) const REFUSED: &str = "the request cannot be done: ";

/// Adds the filters, the function and the formatter.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.set_formatter(format);
    environment.add_filter("optional", optional);
    environment.add_filter("nearest_ratio", nearest_ratio);
    environment.add_function("fail", fail);
}

/// Writes a value. In a path, encodes it so that it stays within its segment, unless it is marked as `safe`; in text,
/// writes nothing for none.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match state.auto_escape() {
        AutoEscape::Custom(_) if value.is_none() => {
            return Err(Error::new(ErrorKind::InvalidOperation, "a path cannot do without this value"));
        }
        AutoEscape::Custom(_) if value.is_safe() => out.write_str(&value.to_string())?,
        AutoEscape::Custom(_) => {
            let encoded = minijinja::filters::urlencode(&Value::from(value.to_string()))?;
            out.write_str(&encoded.replace('/', "%2F"))?;
        }
        AutoEscape::None if value.is_none() => {}
        _ => escape_formatter(out, state, value)?,
    }
    Ok(())
}

/// `x | optional`: none if x is undefined, so that a member is left out.
fn optional(value: Value) -> Value {
    if value.is_undefined() { Value::from(()) } else { value }
}

/// `size | nearest_ratio(["1:1", "16:9"])`: the listed shape that is nearest to a size such as `1792x1024`. None if
/// there is no size, or it is `auto`.
fn nearest_ratio(size: Value, shapes: Vec<String>) -> Result<Value, Error> {
    let invalid = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    let Some(size) = size.as_str().filter(|size| *size != "auto") else { return Ok(Value::from(())) };
    let wanted = ratio(size).ok_or_else(|| invalid(format!("`{size}` is no size, as in `1024x1024`")))?;
    let mut nearest: Option<(f64, String)> = None;
    for shape in shapes {
        let ratio = ratio(&shape).ok_or_else(|| invalid(format!("`{shape}` is no shape, as in `16:9`")))?;
        let distance = (ratio.ln() - wanted.ln()).abs();
        if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            nearest = Some((distance, shape));
        }
    }
    Ok(nearest.map_or_else(|| Value::from(()), |(_, shape)| Value::from(shape)))
}

/// Width divided by height.
fn ratio(text: &str) -> Option<f64> {
    let (width, height) = text.split_once([':', 'x'])?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| *side > 0).map(f64::from);
    Some(side(width)? / side(height)?)
}

/// `fail("why")`: this provider cannot do the request.
fn fail(why: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{why}")))
}
