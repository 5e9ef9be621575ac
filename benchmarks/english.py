"""The small English of the synthetic benchmarks: vocabulary and sentences, once.

Ordinary words and sentences, so that the same text serves the embedded model (whose vocabulary is exactly the
words below) and a 7B reader. Three kinds of fact and one kind of filler:

* ``The office of Alden is in Paris.``  person -> city
* ``Alden works in banking.``           person -> field
* ``The baker is called Alden.``        job -> person, the first hop of two

In every fact the key stands three words before the value, and in every question three words before the cue's end;
a width-4 convolution sees both at once, which is what lets a two-layer recurrent model learn to bind them.
"""

from __future__ import annotations

import random

NAMES = tuple(
    """
Aaron Abigail Abner Ada Adam Adele Adrian Agatha Agnes Aidan Aileen Alan Albert Alden Alec Alex Alexis
Alfred Alice Alicia Alison Allan Alma Alvin Alyssa Amanda Amelia Amos Amy Andrea Andrew Angela Anita Ann
Annabel Annie Anthony Antonia Arabella Ariel Arlene Arlo Arnold Arthur Ashley Astrid Aubrey Audrey Ava
Barbara Barnaby Barney Barry Bartholomew Basil Beatrice Becky Belinda Benedict Benjamin Bernadette Bernard
Bernice Bertha Bertram Bessie Bethany Betty Beverly Bianca Blake Blanche Bonnie Boris Bradley Brandon Brenda
Brendan Brian Bridget Bruce Bruno Bryce Byron Caleb Calvin Cameron Camilla Candice Carl Carla Carmen Carol
Caroline Cassandra Catherine Cecil Cecilia Cedric Celeste Celia Chad Charity Charles Chelsea Cheryl
Christian Christine Christopher Cindy Claire Clara Clarence Claude Claudia Clifford Clifton Clinton Clive
Clyde Cody Colette Colin Connie Connor Conrad Constance Cora Cordelia Corey Cornelia Craig Crystal Curtis
Cynthia Cyril Cyrus Damian Daniel Daphne Darlene Darrell Darren Daryl David Deborah Deirdre Delia Denise
Dennis Derek Desmond Diana Dirk Dominic Donald Donna Dora Doreen Doris Dorothy Douglas Duncan Dustin Dwight
Dylan Ebenezer Edgar Edith Edmund Edna Edward Edwin Effie Eileen Elaine Eleanor Elias Elijah Elinor Eliza
Elizabeth Ella Ellen Elliot Elmer Eloise Elsie Elvira Elwood Emery Emily Emma Enid Eric Erica Erin Ernest
Esmond Estelle Esther Ethan Ethel Eugene Eunice Evan Evelyn Everett Ezra Fabian Felicity Felix Fergus Fern
Fiona Flora Floyd Frances Francis Franklin Freda Frederick Gareth Garrett Gary Gavin Gemma Geoffrey George
Gerald Geraldine Gerard Gertrude Gideon Gilbert Giles Gillian Gladys Glenda Glenn Gloria Godfrey Gordon
Graham Greta Gregory Griffin Guinevere Gwendolyn Hannah Harold Harriet Harris Harrison Harry Harvey Hattie
Heidi Helen Henrietta Henry Herbert Herman Hester Hilary Hilda Hiram Homer Horace Howard Hubert Hugh Hugo
Humphrey Ian Ida Ignatius Imogen Ingrid Irene Irma Irving Irwin Isaac Isabel Isaiah Isla Ivan Ivor Jacob
Jacqueline Jake James Jamie Jane Janet Janice Jared Jarvis Jason Jasper Jean Jeffrey Jemima Jennifer Jenny
Jeremiah Jeremy Jerome Jessica Jessie Jill Joan Joanna Jocelyn Joel John Jonah Jonathan Joseph Josephine
Joshua Joyce Judith Judy Julia Julian Juliet Julius Justin Karen Karl Kathleen Katie Kayla Keith Kelly
Kelvin Kendall Kendra Kenneth Kevin Kirsten Kurt Kyle Lana Lance Lara Laura Lauren Laurence Laverne Lavinia
Leah Leander Lena Leo Leonard Leopold Leroy Leslie Lester Leticia Lewis Liam Lillian Lionel Lisa Lloyd Logan
Lois Lorna Lorraine Louis Louise Lowell Lucas Lucille Lucinda Lucy Luke Luther Lydia Lyle Lynn Mabel
Madeline Magnus Malcolm Mallory Marcus Margaret Margot Maria Marian Marie Marilyn Marina Marion Marjorie
Marlene Marlon Marsha Martha Martin Marvin Mary Matilda Matthew Maud Maureen Maurice Mavis Maximilian Maxine
Maxwell Megan Melanie Melinda Melissa Melvin Meredith Merle Michael Michelle Mildred Miles Millicent Milton
Minnie Miranda Miriam Mitchell Moira Mona Monica Montgomery Morgan Morris Mortimer Muriel Murray Myra Myron
Myrtle Nadia Nancy Naomi Natalie Nathan Nathaniel Neil Nelson Neville Nicholas Nicole Nigel Nina Noah Noel
Nora Norbert Noreen Norma Norman Octavia Odette Olga Oliver Olivia Opal Ophelia Oscar Osmond Oswald Otis
Otto Owen Pamela Patricia Patrick Paul Paula Pauline Percival Percy Perry Peter Petra Philip Phoebe Phyllis
Polly Priscilla Prudence Quentin Quincy Rachel Ralph Ramona Randall Randolph Raphael Raymond Rebecca Regina
Reginald Renee Reuben Rhoda Rhonda Richard Rita Robert Roberta Robin Roderick Rodney Roger Roland Ronald
Rory Rosalind Rosalie Rosamund Rosemary Ross Rowena Roxanne Roy Rudolph Rufus Rupert Russell Ruth Ryan
Sabrina Sadie Sally Samantha Samson Samuel Sandra Sarah Saul Sean Sebastian Selina Serena Seth Seymour Shane
Shannon Sharon Sheila Shelley Sherman Shirley Sibyl Sidney Silas Silvia Simon Sonia Sophie Stacy Stella
Stephen Stuart Susan Suzanne Sybil Tabitha Tamara Tara Ted Terence Teresa Thaddeus Thelma Theodore Thomas
Tiffany Timothy Tobias Todd Tony Tracy Travis Trevor Tristan Trudy Ulric Una Ursula Valerie Vanessa Vera
Vernon Veronica Vincent Viola Vivian Wallace Walter Wanda Warren Wendell Wendy Wesley Wilbur Wilfred Willard
William Wilma Winifred Winston Yolanda Yvette Yvonne Zachary Zelda Zoe
""".split()
)

CITIES = tuple(
    """
Accra Algiers Amman Amsterdam Ankara Athens Auckland Baghdad Baku Bangkok Barcelona Beijing Beirut Belgrade
Berlin Bern Bogota Boston Bratislava Bremen Brisbane Brussels Bucharest Budapest Cairo Calgary Canberra
Caracas Casablanca Chicago Cologne Copenhagen Dakar Dallas Damascus Delhi Denver Detroit Dhaka Doha Dresden
Dubai Dublin Durban Edinburgh Frankfurt Genoa Glasgow Hamburg Hanoi Harare Havana Helsinki Houston Istanbul
Jakarta Kabul Karachi Kathmandu Khartoum Kiev Lagos Leipzig Lisbon Liverpool London Luanda Lusaka Madrid
Manila Marseille Melbourne Miami Minsk Montreal Moscow Mumbai Munich Nairobi Naples Osaka Oslo Ottawa Paris
Perth Prague Riga Rome Rotterdam Santiago Seoul Shanghai Singapore Stockholm Tallinn Tehran Tokyo Toronto
Tunis Turin Vancouver Venice Vienna Vilnius Warsaw Zurich
""".split()
)

FIELDS = tuple(
    """
accounting acting advertising agriculture archaeology architecture astronomy aviation banking biology botany
brewing broadcasting carpentry catering chemistry commerce construction consulting cosmetics dentistry
design education electronics energy engineering entertainment farming fashion fishing forestry gardening
geology geometry healthcare hospitality insurance investment journalism landscaping law logistics
manufacturing marketing medicine metallurgy mining music nursing optics painting pharmacy philosophy
photography physics plumbing politics pottery printing psychology publishing recruitment research retail
robotics security shipping software sociology statistics surgery teaching telecommunications textiles
theatre tourism transport warehousing welding zoology
""".split()
)

JOBS = tuple(
    """
accountant acrobat actor actuary admiral ambassador analyst announcer anthropologist apprentice arborist
archaeologist archer architect archivist artist assistant astronaut astronomer athlete attorney auctioneer
auditor author bailiff baker ballerina banker barber bartender beekeeper biologist blacksmith boatman
bodyguard bookbinder bookkeeper botanist boxer brewer bricklayer broker builder butcher butler captain
caretaker carpenter cartographer cartoonist cashier chauffeur chef chemist choreographer clerk clown coach
cobbler collector columnist comedian composer conductor consultant cook coroner counsellor courier critic
curator cyclist dancer decorator dentist designer detective dietitian diplomat director diver doctor
dramatist driver drummer ecologist economist editor electrician embalmer engineer engraver entertainer
epidemiologist farmer farrier fencer ferryman filmmaker fisherman florist forester forger gardener
geographer geologist glazier goldsmith governor grocer guard guitarist gunsmith gymnast hairdresser harpist
hatter herbalist historian housekeeper hunter illustrator inspector instructor interpreter inventor janitor
jeweller jockey joiner journalist judge juggler keeper knitter laundress lawyer lecturer librarian lifeguard
linguist locksmith lumberjack magician manager mason masseur mathematician mayor mechanic merchant messenger
meteorologist midwife miller miner minister model musician navigator negotiator novelist nurse optician
organist ornithologist painter paramedic pathologist perfumer pharmacist philosopher photographer physician
physicist pianist pilot plasterer playwright plumber poet policeman porter postman potter printer producer
professor programmer psychologist publisher puppeteer ranger receptionist referee reporter restorer roofer
sailor salesman sculptor secretary senator shepherd shoemaker silversmith singer smith sociologist soldier
solicitor statistician steward stonemason surgeon surveyor swimmer tailor tanner taxidermist teacher
technician thatcher toolmaker trainer translator treasurer trucker tutor typist undertaker upholsterer
veterinarian violinist waiter warden watchmaker weaver welder wrestler writer zoologist
""".split()
)

VERBS = tuple(
    "visited painted bought sold cleaned admired photographed rented owned entered found liked".split()
)
ADJECTIVES = tuple(
    """
red tall small quiet bright narrow green large dusty broken wooden yellow famous modern white round cold busy
pretty grey
""".split()
)
NOUNS = tuple(
    """
house garden bridge market station river tower museum library forest kitchen lamp table window
boat mountain village road theater castle school carpet chair clock bottle basket train wall
harbour field
""".split()
)

NO_ANSWER = "Error"
INSTRUCTION = "Answer from the text. If the answer is unknown, respond Error.\n\n"
QUESTION = "\n\nQuestion: {question} Answer:"

OFFICE = "The office of {0} is in {1}."
WORKS = "{0} works in {1}."
CALLED = "The {0} is called {1}."
BOSS = "The boss of {0} is called {1}."
ASK_OFFICE = "Where is the office of {0}?"
ASK_WORKS = "Which field employs {0}?"
RELATIONS = {"office": (OFFICE, ASK_OFFICE, CITIES), "works": (WORKS, ASK_WORKS, FIELDS)}
ASK_OFFICE_OF_JOB = "Where is the office of the {0}?"
ASK_OFFICE_OF_BOSS = "Where is the office of the boss of the {0}?"

# Nine or ten tokens with the full stop. {a} an adjective (none begins with a vowel), {n} a noun, {v} a verb,
# {p} a person.
PLAIN_FILLERS = (
    "There was a {a} {n} beside the {a} {n}.",
    "The {a} {n} stood near the {n} all day.",
    "In the morning the {n} was {a} and {a}.",
    "Nobody {v} the {a} {n} behind the {n}.",
    "They {v} a {a} {n} and a {a} {n}.",
    "The {n} by the {n} was very {a}.",
    "We {v} the {a} {n} in the evening.",
    "Someone {v} the {n} before the {n} was {a}.",
)
PERSON_FILLERS = (
    "{p} {v} the {a} {n} near the {a} {n}.",
    "In the morning {p} {v} the {a} {n}.",
    "{p} {v} a {a} {n} in the evening.",
)
PERSON_SHARE = 0.15


Pieces = tuple[str, tuple[tuple[tuple[str, ...], str], ...]]


def _pieces(template: str) -> Pieces:
    """What stands before the first slot, then the words of every slot (none: a person) and what follows it."""
    head, *pieces = template.split("{")
    kinds = {"a": ADJECTIVES, "n": NOUNS, "v": VERBS, "p": ()}
    return head, tuple((kinds[piece[0]], piece[2:]) for piece in pieces)


PLAIN_PIECES = tuple(map(_pieces, PLAIN_FILLERS))
PERSON_PIECES = tuple(map(_pieces, PERSON_FILLERS))


def filler(rng: random.Random, *, person: str | None = None) -> str:
    """A sentence without a fact; with `person` it names that person, so that a name alone gives nothing away."""
    sentence, slots = rng.choice(PLAIN_PIECES if person is None else PERSON_PIECES)
    for words, rest in slots:
        sentence += (rng.choice(words) if words else str(person)) + rest
    return sentence


def vocabulary() -> list[str]:
    """Every word and mark that a synthetic prompt can hold, lower-cased, in a fixed order."""
    questions = (ASK_OFFICE, ASK_WORKS, ASK_OFFICE_OF_JOB, ASK_OFFICE_OF_BOSS)
    facts = (OFFICE, WORKS, CALLED, BOSS)
    templates = (INSTRUCTION, QUESTION, *facts, *questions, *PLAIN_FILLERS, *PERSON_FILLERS)
    text = " ".join(templates)
    for slot in ("{0}", "{1}", "{question}", "{a}", "{n}", "{v}", "{p}"):
        text = text.replace(slot, " ")
    for mark in ".,:?":
        text = text.replace(mark, f" {mark} ")
    lists = NAMES + CITIES + FIELDS + JOBS + VERBS + ADJECTIVES + NOUNS
    return list(dict.fromkeys(word.lower() for word in (*text.split(), *lists)))
