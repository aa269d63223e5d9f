from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from barber.pixels import encode_png
from barber.provenance import SOURCE_TYPE, software, xmp_packet

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
PICTURE = np.zeros((4, 4, 3), dtype=np.uint8)


def description(packet: str) -> ElementTree.Element:
    found = ElementTree.fromstring(packet).find(f"{RDF}RDF/{RDF}Description")
    assert found is not None
    return found


def test_result_says_in_xmp_that_it_is_a_synthetic_composite() -> None:
    with Image.open(io.BytesIO(encode_png(PICTURE, recipe={"format": 1}))) as image:
        facts = description(image.info["XML:com.adobe.xmp"])
        assert image.info["Software"] == software()
    assert facts.get(f"{IPTC}DigitalSourceType") == SOURCE_TYPE
    assert SOURCE_TYPE.rpartition("/")[2] == "compositeSynthetic"
    assert facts.get(f"{XMP}CreatorTool") == software()


def test_picture_that_is_no_result_makes_no_claim() -> None:
    with Image.open(io.BytesIO(encode_png(PICTURE))) as image:
        assert image.info == {}


def test_odd_characters_in_the_tool_s_name_keep_the_xml_whole() -> None:
    name = "<Barber & \"Söhne\"> 'x'"
    assert description(xmp_packet(name)).get(f"{XMP}CreatorTool") == name
