"""What Temporal carries between our own processes, as JSON: the same text as the SDK's own converter writes and reads, faster.

The SDK finds out anew for every value what type it has to become, inside the sandbox too, which took a tenth of an advance. Values
of other types than ours are left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.converter import CompositePayloadConverter, DataConverter, DefaultPayloadConverter, JSONPlainPayloadConverter

from domain.core import ProcessRef
from workflows.shell import Outcome

PLAIN = "json/plain"
_ENCODING = {"encoding": PLAIN.encode()}
_WRITTEN = frozenset({ProcessRef, Outcome, datetime, bool, int, float, str})
_READ: Mapping[Any, msgspec.json.Decoder[Any]] = {each: msgspec.json.Decoder(each) for each in _WRITTEN}
_encode = msgspec.json.Encoder().encode


class OwnValues(JSONPlainPayloadConverter):
    """Reads and writes the values that workflows and activities hand to each other."""

    def to_payload(self, value: Any) -> Payload | None:
        if type(value) in _WRITTEN:
            return Payload(metadata=_ENCODING, data=_encode(value))
        return super().to_payload(value)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Raises RuntimeError where the payload is not of the type."""
        decoder = _READ.get(type_hint)
        if decoder is None:
            return super().from_payload(payload, type_hint)
        try:
            return decoder.decode(payload.data)
        except msgspec.MsgspecError:
            raise RuntimeError(f"not a {type_hint.__name__ if type_hint else 'value'}") from None


class Payloads(CompositePayloadConverter):
    """The SDK's converters, with ours in the place of its JSON."""

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)  # one for each open workflow, so what it is made of is shared


_OWN = OwnValues()
_CONVERTERS = tuple(_OWN if c.encoding == PLAIN else c for c in DefaultPayloadConverter.default_encoding_payload_converters)
CONVERTER = DataConverter(payload_converter_class=Payloads)
