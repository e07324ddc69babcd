"""A coverage-guided fuzzer of everything that reads bytes of strangers: HL7 reader, framing, acknowledgements, FHIR bundles.

    make fuzz FLAGS="--seed 1 --minutes 10"

What it finds is kept in crashes/, and tested from then on.
"""
