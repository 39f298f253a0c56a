//! As much of protobuf's encoding as remote write needs: fields in order, their bytes borrowed.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufFault {
    /// A number or a field goes beyond the end.
    #[error("the message ends within a field")]
    Cut,
    /// A number of more than 64 bits.
    #[error("the message has a number of more than 64 bits")]
    LongNumber,
    /// A field without number, or of a kind that there is not.
    #[error("the message has a field of no known kind")]
    Kind,
    /// A field that is known has another kind than its definition says.
    #[error("field {0} is of another kind than it must be")]
    OtherKind(u64),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Number(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Fields of one message, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field: its number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ProtobufFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = number(&mut self.rest)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut self.rest)?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(ProtobufFault::Cut)?;
                self.rest = rest;
                Value::Fixed64(*bytes)
            }
            2 => {
                let length = number(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| ProtobufFault::Cut)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ProtobufFault::Cut)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (_, rest) = self.rest.split_first_chunk::<4>().ok_or(ProtobufFault::Cut)?;
                self.rest = rest;
                Value::Fixed32
            }
            _ => return Err(ProtobufFault::Kind),
        };
        if key >> 3 == 0 { Err(ProtobufFault::Kind) } else { Ok(Some((key >> 3, value))) }
    }
}

/// Takes a number of seven bits a byte from the front.
pub(super) fn number(rest: &mut &[u8]) -> Result<u64, ProtobufFault> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(ProtobufFault::Cut)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(ProtobufFault::LongNumber);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(ProtobufFault::LongNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_kind_are_read_or_passed_over() {
        let message = [8, 0x96, 1, 0x12, 2, b'h', b'i', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4];
        let mut fields = Fields::of(&message);
        assert_eq!(fields.next(), Ok(Some((1, Value::Number(150)))));
        assert_eq!(fields.next(), Ok(Some((2, Value::Bytes(b"hi")))));
        assert_eq!(fields.next(), Ok(Some((3, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed32))));
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn broken_fields_are_told() {
        for (message, expected) in [
            (&[0x80][..], ProtobufFault::Cut),
            (&[8], ProtobufFault::Cut),
            (&[0x12, 5, 1], ProtobufFault::Cut),
            (&[0x19, 1], ProtobufFault::Cut),
            (&[0x25, 1], ProtobufFault::Cut),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], ProtobufFault::Cut),
            (&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], ProtobufFault::LongNumber),
            (&[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], ProtobufFault::LongNumber),
            (&[0x0b], ProtobufFault::Kind),
            (&[0, 1], ProtobufFault::Kind),
        ] {
            assert_eq!(Fields::of(message).next(), Err(expected), "{message:?}");
        }
    }
}
