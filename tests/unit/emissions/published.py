"""Numbers of the published sources that several tests hold results against."""

from __future__ import annotations

# Jolleys et al. 2024 (Climate TRACE), table 4, 2023: name, mineral, iso3, activity t, factor t/t, t CO2
TOP_TEN = [
    ("Zhezkazgan", "copper", "KAZ", 52_359_415, 0.0879, 4_602_393),
    ("Sarcheshmeh", "copper", "IRN", 85_840_000, 0.0391, 3_356_344),
    ("Mont-Wright", "iron", "CAN", 49_900_895, 0.0554, 2_766_427),
    ("Highland Valley", "copper", "CAN", 72_886_000, 0.0331, 2_412_130),
    ("Mikhailovsky", "iron", "RUS", 49_115_455, 0.0430, 2_110_278),
    ("Cobre Panama", "copper", "PAN", 75_751_000, 0.0271, 2_055_000),
    ("Letpadaung", "copper", "MMR", 51_542_624, 0.0391, 2_015_317),
    ("Lumwana", "copper", "ZMB", 26_030_000, 0.0618, 1_609_335),
    ("Grasberg", "copper", "IDN", 42_814_500, 0.0352, 1_507_070),
    ("Lebedinsky", "iron", "RUS", 33_408_742, 0.0430, 1_435_428),
]
TOP_TEN_T = 23_869_722

# table 3: by mineral, 2020 to 2023, t CO2 and t of ore
YEARS = (2020, 2021, 2022, 2023)
CO2_T = {
    "copper": (57_953_582, 59_567_898, 64_636_696, 68_086_596),
    "iron": (46_960_056, 50_974_946, 47_049_955, 45_259_199),
    "bauxite": (7_235_869, 6_383_036, 6_380_954, 6_153_875),
}
# the supplement's 165,565,781 t of 2023 is this and 46,066,111 t that its text does not break down
WORLD_CO2_T = (112_149_507, 116_925_880, 118_067_605, 119_499_670)
ORE_T = {
    "copper": (4_617_217_009, 4_886_632_679, 5_027_409_186, 4_802_168_304),
    "iron": (2_440_042_768, 2_591_057_637, 2_728_549_704, 2_808_830_172),
    "bauxite": (248_669_198, 245_802_397, 245_059_015, 230_979_291),
}
WORLD_FACTORS = (0.01535, 0.01514, 0.01476, 0.01524)

# table 5, sums of assets in 2023 (the text calls it table 6 and the other way round; the captions are right):
# t of ore, factor, t CO2
COUNTRIES = {
    "CAN": (390_622_486, 0.0222, 8_679_061),
    "AUS": (1_305_972_653, 0.0066, 8_623_473),
    "CHL": (1_022_320_084, 0.0083, 8_527_740),
    "RUS": (274_428_683, 0.0293, 8_051_903),
    "BRA": (680_293_823, 0.0117, 7_979_280),
    "USA": (568_092_899, 0.0124, 7_068_408),
    "CHN": (248_105_925, 0.0284, 7_052_579),
    "KAZ": (420_950_057, 0.0167, 7_043_794),
    "PER": (816_976_938, 0.0067, 5_438_449),
    "IND": (104_890_872, 0.0510, 5_353_136),
}
COUNTRIES_ORE_T, COUNTRIES_CO2_T = 5_832_654_420, 73_817_823
NATIONAL_ORE_T, NATIONAL_CO2_T = 5_472_932_500, 76_987_546

# Sishen 2021 to 2023: pixels of the hue classes, t of ore, m2, t CO2e
SISHEN_CLASSES = {"R": 51_710, "G": 43_786, "B": 31_823, "C": 30_505, "M": 15_827, "Y": 72_926, "W": 44_968}
SISHEN_BLACK = 78_241
SISHEN_PIXELS = (185_431, 192_185, 123_123)
SISHEN_ORE_T = (37.9e6, 39.4e6, 39.1e6)
SISHEN_RATES = (2.0439, 2.0501, 3.1757)
SISHEN_CO2_T = (402_000, 427_000, 424_000)
SISHEN_FACTORS = (0.010607, 0.010838, 0.010844)
