"""The built-in table of the competition's 12 classes, and tables for other category names."""

from collections.abc import Sequence

from bunri.core.classes import ClassInfo, ClassTable, normalize_name

COMPETITION_TABLE = ClassTable(
    (
        ClassInfo("Background", "배경", (0, 0, 0)),
        ClassInfo(
            "UNKNOWN", "알 수 없음", (160, 160, 160),
            "Ask or check the label", "표시 확인",
            "It cannot be told from the photo what this is made of.",
            "사진만으로는 재질을 알 수 없습니다.",
        ),
        ClassInfo(
            "General trash", "일반 쓰레기", (192, 0, 128),
            "Standard garbage bag", "종량제 봉투",
            "Soiled or mixed materials cannot be recycled.",
            "오염되었거나 여러 재질이 섞인 것은 재활용할 수 없습니다.",
        ),
        ClassInfo(
            "Paper", "종이", (0, 128, 192),
            "Paper", "종이류",
            "Flatten it, take off tape and labels, keep it dry.",
            "테이프와 송장을 떼고 접어서 물에 젖지 않게 배출합니다.",
        ),
        ClassInfo(
            "Paper pack", "종이팩", (0, 128, 64),
            "Paper packs", "종이팩",
            "Cartons are coated inside and are recycled apart from paper: rinse, open, dry.",
            "안쪽이 코팅되어 종이와 따로 재활용합니다. 헹구고 펼쳐 말려 배출합니다.",
        ),
        ClassInfo(
            "Metal", "금속", (128, 0, 0),
            "Cans and metal", "캔·고철류",
            "Empty and rinse it; metal melts down without losing quality.",
            "내용물을 비우고 헹구어 배출합니다.",
        ),
        ClassInfo(
            "Glass", "유리", (64, 0, 128),
            "Glass bottles", "유리병류",
            "Empty and rinse it, take off the lid; broken glass goes to the garbage, wrapped.",
            "내용물을 비우고 뚜껑을 분리합니다. 깨진 유리는 싸서 종량제 봉투에 버립니다.",
        ),
        ClassInfo(
            "Plastic", "플라스틱", (64, 0, 192),
            "Plastics", "플라스틱류",
            "Empty it, take off the label, crush it and close the lid.",
            "내용물을 비우고 라벨을 뗀 뒤 찌그러뜨려 뚜껑을 닫아 배출합니다.",
        ),
        ClassInfo(
            "Styrofoam", "스티로폼", (192, 128, 64),
            "Styrofoam", "스티로폼류",
            "White and clean only; take off tape and labels.",
            "깨끗한 흰색만 테이프와 송장을 떼고 배출합니다.",
        ),
        ClassInfo(
            "Plastic bag", "비닐", (192, 192, 128),
            "Vinyl and film", "비닐류",
            "Empty it and keep it clean; films are collected apart from hard plastic.",
            "이물질을 없애고 흩날리지 않게 모아 플라스틱과 따로 배출합니다.",
        ),
        ClassInfo(
            "Battery", "건전지", (64, 64, 128),
            "Battery collection box", "폐건전지 수거함",
            "Batteries hold heavy metals and can burn; never into the garbage.",
            "중금속이 들어 있고 불이 날 수 있어 전용 수거함에 배출합니다.",
        ),
        ClassInfo(
            "Clothing", "의류", (128, 0, 192),
            "Clothing collection box", "의류 수거함",
            "Dry and wearable clothes are used again.",
            "젖지 않게 하여 의류 수거함에 넣습니다.",
        ),
    )
)  # fmt: skip
"""The 12 classes of the 2021 competition; colours as in the later cohorts' class_dict.csv."""

_FOREGROUND_2021 = frozenset(normalize_name(n) for n in COMPETITION_TABLE.names[1:])
_FOREGROUND_LATER = _FOREGROUND_2021 - {"unknown"}
BACKGROUND_NAMES = frozenset({"background", "backgroud"})
"""Names of index 0 in data sets; the second is the spelling of the 2021 notebook."""


def choose_class_table(names: Sequence[str]) -> ClassTable:
    """Return the class table that a list of category names belongs to.

    The 2021 names (with UNKNOWN) and the later ones (without) both mean the competition's
    table, so "General trash" has index 2 in either. Any other set of names makes a table of
    its own: Background, then the names in the order given.

    Args:
        names: Category names in id order; a background among them becomes index 0.

    Raises:
        InputError: No name besides the background, too many names, or a name given twice.
    """
    foreground = [name for name in names if normalize_name(name) not in BACKGROUND_NAMES]
    known = frozenset(map(normalize_name, foreground))
    if known in (_FOREGROUND_2021, _FOREGROUND_LATER) and len(known) == len(foreground):
        return COMPETITION_TABLE
    colors = draw_distinct_colors(len(foreground))
    infos = [ClassInfo(n, n, color) for n, color in zip(foreground, colors, strict=True)]
    return ClassTable((COMPETITION_TABLE.classes[0], *infos))


def draw_distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` distinct RGB colours, none of them black.

    The bit-interleaved colour map of the PASCAL VOC development kit, rows 1 to ``count``.
    """
    colors = []
    for index in range(1, count + 1):
        rgb, rest = [0, 0, 0], index
        for bit in range(7, -1, -1):
            for channel in range(3):
                rgb[channel] |= (rest >> channel & 1) << bit
            rest >>= 3
        colors.append((rgb[0], rgb[1], rgb[2]))
    return colors
