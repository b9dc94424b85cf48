//! Arguments that are put together one by one, in the serializer in which they will be sent.

use std::collections::BTreeSet;

use bondy_wamp::buffer::Buffer;
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{Decoder, Encoder, Serializer};
use serde::Serialize;

use super::Arguments;
use crate::error::EncodeError;

/// Arguments that are being put together. The first mistake is kept until the end.
#[derive(Debug)]
pub(crate) struct ArgumentsBuilder {
    serializer: Serializer,
    /// A whole payload, as long as nothing is added to it.
    whole: Option<Arguments>,
    args: Items,
    kwargs: Items,
    keys: BTreeSet<String>,
    error: Option<EncodeError>,
}

/// Encoded items without the header of their list or dictionary.
#[derive(Debug, Default)]
struct Items {
    bytes: Buffer,
    count: usize,
}

impl Items {
    /// Appends what `write` writes; nothing if that fails.
    fn append(
        &mut self,
        serializer: Serializer,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        let mut encoder = match self.count {
            0 => Encoder::new(serializer, &mut self.bytes),
            _ => Encoder::tail(serializer, &mut self.bytes),
        };
        let outcome = write(&mut encoder);
        match outcome {
            Ok(()) => self.count += 1,
            Err(_) => self.bytes.truncate(start),
        }
        outcome
    }

    /// The items with what stands around them, or nothing if there are none.
    fn enclosed(&self, serializer: Serializer, is_dict: bool) -> Buffer {
        let mut out = Buffer::with_capacity(self.bytes.len() + 6);
        if self.count > 0 {
            let mut begin = Encoder::new(serializer, &mut out);
            match is_dict {
                true => begin.begin_dict(self.count),
                false => begin.begin_list(self.count),
            }
            out.extend_from_slice(&self.bytes);
            let mut end = Encoder::new(serializer, &mut out);
            match is_dict {
                true => end.end_dict(),
                false => end.end_list(),
            }
        }
        out
    }
}

impl ArgumentsBuilder {
    pub(crate) fn new(serializer: Serializer) -> Self {
        let (args, kwargs) = (Items::default(), Items::default());
        Self { serializer, whole: None, args, kwargs, keys: BTreeSet::new(), error: None }
    }

    /// Adds one positional argument.
    pub(crate) fn arg<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.change(|builder| {
            builder.args.append(builder.serializer, |encoder| Ok(bondy_wamp::serde::encode(value, encoder)?))
        });
    }

    /// Adds one keyword argument.
    pub(crate) fn kwarg<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.change(|builder| {
            builder.take_key(key)?;
            builder.kwargs.append(builder.serializer, |encoder| {
                encoder.key(key);
                Ok(bondy_wamp::serde::encode(value, encoder)?)
            })
        });
    }

    /// Adds positional arguments: the elements of a tuple, or one value.
    pub(crate) fn args<T: Serialize + ?Sized>(&mut self, values: &T) {
        self.change(|builder| {
            let arguments = Arguments::encoded(values, builder.serializer)?;
            builder.append(arguments.payload())
        });
    }

    /// Adds keyword arguments: the fields of a struct, or the entries of a map.
    pub(crate) fn kwargs<T: Serialize + ?Sized>(&mut self, values: &T) {
        self.change(|builder| {
            let mut bytes = Buffer::new();
            bondy_wamp::serde::encode(values, &mut Encoder::new(builder.serializer, &mut bytes))?;
            builder.append(Payload { serializer: builder.serializer, args: &[], kwargs: &bytes })
        });
    }

    /// Adds everything of a payload.
    pub(crate) fn payload(&mut self, arguments: Arguments) {
        if self.whole.is_none() && self.args.count + self.kwargs.count == 0 {
            self.whole = Some(arguments);
        } else {
            self.change(|builder| builder.append(arguments.payload()));
        }
    }

    /// What has been put together.
    pub(crate) fn finish(self) -> Result<Arguments, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some(whole) = self.whole {
            return whole.checked();
        }
        let args = self.args.enclosed(self.serializer, false);
        let kwargs = self.kwargs.enclosed(self.serializer, true);
        Ok(Arguments::received(Payload { serializer: self.serializer, args: &args, kwargs: &kwargs }))
    }

    fn change(&mut self, add: impl FnOnce(&mut Self) -> Result<(), EncodeError>) {
        if self.error.is_some() {
            return;
        }
        let unpacked = match self.whole.take() {
            Some(whole) => self.append(whole.payload()),
            None => Ok(()),
        };
        self.error = unpacked.and_then(|()| add(self)).err();
    }

    fn take_key(&mut self, key: &str) -> Result<(), EncodeError> {
        if self.keys.insert(key.to_owned()) { Ok(()) } else { Err(EncodeError::SameKey(key.to_owned())) }
    }

    fn append(&mut self, payload: Payload<'_>) -> Result<(), EncodeError> {
        let source = payload.serializer;
        if !payload.args.is_empty() {
            let mut decoder = Decoder::new(source, payload.args)?;
            let mut items = decoder.list()?;
            while decoder.next_item(&mut items)? {
                let item = decoder.skip()?;
                self.args.append(self.serializer, |encoder| Ok(encoder.item(source, item)?))?;
            }
        }
        if !payload.kwargs.is_empty() {
            let mut decoder = Decoder::new(source, payload.kwargs)?;
            let mut entries = decoder.dict()?;
            while let Some(key) = decoder.next_key(&mut entries)? {
                let item = decoder.skip()?;
                self.take_key(&key)?;
                self.kwargs.append(self.serializer, |encoder| {
                    encoder.key(&key);
                    Ok(encoder.item(source, item)?)
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bondy_wamp::value::Value;

    use super::*;

    #[test]
    fn arguments_are_put_together_in_every_serializer() {
        for serializer in Serializer::ALL {
            let mut builder = ArgumentsBuilder::new(serializer);
            builder.payload(Arguments::of(&(1, "a")).unwrap());
            builder.arg(&true);
            builder.args(&(2, 3));
            builder.kwarg("k", &[1, 2]);
            builder.kwargs(&std::collections::BTreeMap::from([("l", 1)]));
            let arguments = builder.finish().unwrap();
            assert_eq!(arguments.args::<(u8, String, bool, u8, u8)>().unwrap(), (1, "a".into(), true, 2, 3));
            let (_, kwargs) = arguments.to_value().unwrap();
            assert_eq!(kwargs.entry("l"), Some(&Value::Integer(1)), "{serializer}");
            assert_eq!(kwargs.entry("k").and_then(Value::as_list).map(<[Value]>::len), Some(2));
        }
    }

    #[test]
    fn nothing_is_an_empty_payload() {
        let arguments = ArgumentsBuilder::new(Serializer::Json).finish().unwrap();
        assert!(arguments.is_empty());
        assert_eq!(arguments.to_value().unwrap(), (Value::List(vec![]), Value::Dict([].into())));
    }

    #[test]
    fn the_first_mistake_is_kept() {
        let mut builder = ArgumentsBuilder::new(Serializer::Json);
        builder.kwarg("k", &1);
        builder.kwarg("k", &2);
        builder.arg(&3);
        let error = builder.finish().unwrap_err();
        assert_eq!(error.to_string(), "the keyword argument `k` is given twice");
    }

    #[test]
    fn a_payload_made_by_hand_is_looked_at_before_it_is_sent() {
        let made = |args: &'static [u8], kwargs: &'static [u8]| {
            let mut builder = ArgumentsBuilder::new(Serializer::Json);
            builder.payload(Payload { serializer: Serializer::Json, args, kwargs }.into());
            builder.finish()
        };
        assert!(made(b"[1]", b"{\"a\": [2]}").is_ok());
        for (args, kwargs) in
            [(&b"{}"[..], &b""[..]), (b"[1", b""), (b"[1] 2", b""), (b"", b"[]"), (b"", b"{\"a\"}")]
        {
            assert!(made(args, kwargs).is_err(), "{args:?} {kwargs:?}");
        }
    }

    #[test]
    fn kwargs_are_a_dictionary() {
        let mut builder = ArgumentsBuilder::new(Serializer::Cbor);
        builder.kwargs(&7);
        assert!(builder.finish().is_err());
    }
}
