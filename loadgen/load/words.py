"""The words that made prompts consist of."""

WORDS = tuple(
    (
        "able about above account act after again air all also and animal answer area arm ask back bank base bird blue boat body "
        "book both box bread bridge bring build call camp car care case cat cause cell change child city class clear cloud coast "
        "cold color come common corn cost could count cover cross dark day deep desk dog door draw dream drive dry earth east eat "
        "edge end engine even every eye face fact fall farm fast field fine fire first fish floor flow follow food foot form four "
        "free fresh front full garden gate give glass gold good grain grass great green ground group grow half hand hard harbor "
        "head hear heat help high hill hold home horse hot hour house ice idea inch iron island join keep key kind king lake land "
        "large last late law lead leaf learn left letter level lift light line list little live long look low lunch machine made "
        "main map mark market meal mean metal middle mile milk mind mine model moon more morning most mother move much music name "
        "near need night north note number ocean office oil old only open orange order other over page paint paper park part pass "
        "path pay people piece place plain plan plant play point port power press quick quiet rain reach read red rest rice ride "
        "right ring rise river road rock room root round rule run salt sand school sea seat second seed ship shop short show side "
        "sign silver simple sing sky sleep slow small snow soft song sound south space speak spring stand star start state steel "
        "step stone store story street strong sugar sum summer sun table tail take talk tall teach ten test thing three time tire "
        "top town track trade train travel tree true turn two under unit valley value view visit voice wait walk wall warm watch "
        "water wave way week well west wheel white wide wind winter wire wood word work world write yard year yellow young zone"
    ).split()
)
"""Words of three to seven letters, most of which are one token each in the vocabularies in use."""

COMMON_WORDS = tuple(
    (
        "the of and to in is that for it as was with be by on not he this are or from at which but have an they you were "
        "their one all we can there been if more when will would so no other its may these them than some time into only "
        "do first any now such like over me"
    ).split()
)
"""The most frequent words of English: a token each, or nearly so, even in small vocabularies."""
