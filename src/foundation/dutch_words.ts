/**
 * Dutch words that people make passwords of, most tempting first in each list: the estimate of strength (password_strength.ts)
 * takes the place in a list for how soon somebody would try the word. Written by hand, so they carry nobody's licence; without accents,
 * as people type them.
 */

const tempting = `
  wachtwoord welkom geheim welkom01 welkom1 wachtwoord1 toegang inloggen aanmelden sleutel hallo hoi doei groetjes poort beheerder
  beheer gebruiker gast admin proefversie test testen tijdelijk nieuw verander veranderen vergeten computer laptop internet
  telefoon mobiel scherm toetsenbord netwerk printer kantoor werk werken bedrijf school huis thuis vakantie weekend verjaardag
  liefde lieverd schatje schat liefje kusje kusjes knuffel knuffels hartje zonnetje zonneschijn sterretje engel engeltje prins
  prinses prinsesje koning koningin keizer ridder draak tijger leeuw leeuwtje panter wolf beer beertje hond hondje poes poesje
  kat katje konijn paard paardje pony dolfijn vlinder vogel eend aap aapje muis schildpad olifant giraf pinguin spin haai
  mama papa mamma pappa moeder vader oma opa zus zusje broer broertje dochter zoon kinderen kind baby familie vriend vriendin
  vrienden maatje buurman buurvrouw juf meester leraar dokter zuster politie brandweer
`;

const calendar = `
  januari februari maart april mei juni juli augustus september oktober november december
  maandag dinsdag woensdag donderdag vrijdag zaterdag zondag lente voorjaar zomer herfst najaar winter
  vandaag morgen gisteren overmorgen ochtend middag avond nacht dag week maand jaar eeuw minuut seconde uur
  kerst kerstmis kerstman pasen pinksteren sinterklaas koningsdag koninginnedag oudjaar oudennieuw nieuwjaar
  carnaval bevrijdingsdag dodenherdenking hemelvaart prinsjesdag elfstedentocht
`;

const places = `
  amsterdam rotterdam denhaag utrecht eindhoven groningen tilburg almere breda nijmegen apeldoorn haarlem arnhem enschede
  amersfoort zaanstad haarlemmermeer denbosch hertogenbosch zwolle zoetermeer leiden leeuwarden maastricht dordrecht ede alphen
  westland alkmaar emmen delft venlo deventer helmond oss hilversum hoorn heerlen sittard geleen purmerend roosendaal schiedam
  vlaardingen spijkenisse almelo hoogeveen gouda capelle katwijk assen bergenopzoom veenendaal lelystad middelburg vlissingen
  goes terneuzen zeist nieuwegein houten woerden hengelo doetinchem tiel wageningen kampen harderwijk barneveld ermelo putten
  heerenveen sneek drachten franeker harlingen dokkum bolsward stavoren hindeloopen workum sloten ijlst veendam winschoten
  delfzijl appingedam stadskanaal meppel coevorden steenwijk hardenberg ommen raalte rijssen oldenzaal losser haaksbergen
  winterswijk zutphen lochem ruurlo borculo groenlo aalten zevenaar duiven velp dieren rheden renkum oosterbeek culemborg
  geldermalsen zaltbommel waalwijk kaatsheuvel dongen oosterhout etten zundert veghel uden boxtel schijndel best son veldhoven
  valkenswaard geldrop weert roermond venray horst panningen kerkrade landgraaf brunssum valkenburg vaals texel vlieland
  terschelling ameland schiermonnikoog denhelder schagen enkhuizen medemblik volendam edam marken monnickendam zaandam
  beverwijk ijmuiden velsen zandvoort bloemendaal heemstede hoofddorp schiphol aalsmeer amstelveen uithoorn diemen weesp
  muiden naarden bussum huizen laren blaricum soest baarn bilthoven maarssen breukelen abcoude vinkeveen noordwijk wassenaar
  voorburg rijswijk scheveningen kijkduin monster naaldwijk maassluis hoekvanholland ridderkerk barendrecht zwijndrecht
  papendrecht sliedrecht gorinchem leerdam schoonhoven waddinxveen bodegraven boskoop zierikzee veere domburg brugge gent
  antwerpen brussel leuven mechelen hasselt genk kortrijk oostende turnhout aalst
  nederland holland belgie vlaanderen friesland fryslan drenthe overijssel gelderland flevoland brabant noordbrabant limburg
  zeeland noordholland zuidholland twente achterhoek veluwe betuwe randstad waddenzee ijsselmeer markermeer noordzee rijn maas
  waal ijssel schelde amstel vecht europa duitsland frankrijk spanje italie griekenland portugal engeland schotland ierland
  turkije marokko suriname curacao aruba bonaire indonesie oostenrijk zwitserland polen zweden noorwegen denemarken finland
  amerika australie afrika azie parijs londen berlijn rome madrid barcelona wenen praag lissabon athene istanbul curacao
`;

const clubs = `
  ajax feyenoord psv azalkmaar fctwente fcutrecht fcgroningen heerenveen vitesse heracles nac nacbreda willemii sparta
  spartarotterdam excelsior pec peczwolle goahead goaheadeagles adodenhaag ado fortuna fortunasittard rkcwaalwijk rkc volendam
  fcvolendam cambuur nec necnijmegen degraafschap roda rodajc vvv vvvvenlo mvv helmondsport fceindhoven fcdordrecht fcdenbosch
  telstar topklasse eredivisie oranje nederlandselftal hollandoranje kampioen kampioenen landskampioen voetbal voetballer doelpunt
  keeper scheidsrechter kuip dekuip johancruijff cruijff cruyff arena olympisch schaatsen hockey tennis wielrennen zwemmen turnen
  volleybal handbal korfbal basketbal atletiek hardlopen marathon fietsen paardrijden verstappen maxverstappen anderlecht
  clubbrugge standard
`;

const firstNames = `
  jan piet klaas kees henk johan peter paul mark marco martijn martin maarten michiel michel mike tim tom thomas teun thijs
  sven stefan steven sander ruben rob robin robert ronald roel rick rik richard remco raymond ralph pim pieter patrick pascal otto
  oscar olivier noah niels nick nico niek milan max mathijs matthijs mats luuk lucas luca lars levi leon lennart laurens koen kevin
  kasper jurgen julian joris joost jordy jorrit joop jonas jonathan joep jeroen jesse jelle jasper jaap jacob jacco ivo ivar hugo
  hidde herman hans harry harm guus gijs gerrit gerard geert frits frank floris finn ferdi erwin eric erik emiel edwin dylan
  dirk dion dennis david daniel daan cornelis coen christiaan casper cas camiel bram bas bart boris bob berend ben arjan arjen
  arie anton andre alexander albert adriaan abel wim willem wouter vincent victor valentijn tijn tijmen ties siebe sem sam
  roderick quinten mees melle morris mohammed mohamed ahmed youssef ali hassan ibrahim mustafa mehmet omar bilal
  anna anne annemiek annemarie anneke anouk antje amber angela angelique astrid babette barbara bianca britt brigitte carla carolien
  caroline charlotte chantal cheyenne christina claudia danielle daphne debbie denise diana dominique doutzen eline elise elisabeth
  ellen elly els elsbeth emma esmee esther eva evelien eveline fatima fenna femke fleur floor floortje froukje gerda geertje
  greetje hanna hanneke hannah heidi heleen helena hetty ilse inge ingrid irene iris isa isabel isabella jacqueline janine jannie
  jantje jasmijn jenny jessica jet jikke joke jolanda jolien josephine joyce judith julia karin karen katja kim kirsten klaartje
  lara laura leonie lieke lies liesbeth lisa lisanne lizzy loes lotte lotje louise lucie lynn maaike maartje madelief manon
  margot margriet maria marianne marieke marije marijke marit marjan marjolein marloes marlies martine mathilde maud melanie
  melissa merel mieke milou mila minke mirjam mirthe monique nadia naomi natasja nienke nicole nina noa noor noortje olivia
  patricia paula petra pien priscilla puck rachel renate renee rianne ria roos roosmarijn rosa rosalie ruth sabine samantha
  sandra sanne sara sarah saskia sharon silvia simone sofie sophie stephanie suzanne suzan sylvia tamara tanja tess tessa tineke
  tilly trijntje truus ursula vera veerle willemijn wilma wendy yara yvette yvonne zoe aisha khadija maryam samira willeke
`;

const familyNames = `
  jansen dejong devries vandenberg vandijk bakker janssen visser smit meijer meyer deboer mulder degroot bos vos peters
  hendriks vanleeuwen dekker brouwer dewit dijkstra smits degraaf vandermeer vanderlinden kok jacobs dehaan vermeulen
  vandenheuvel vanderveen vandenbroek debruijn debruin vanderheijden schouten vanbeek willems vanvliet vandeven
  hoekstra maas verhoeven koster vandam vanderwal prins blom huisman peeters dejonge kuipers vanveen post kuiper veenstra kramer
  vandenbrink scholten vanwijk postma martens vermeer wolters timmermans bosman dekoning groen gerritsen bosch vandervelden
  vanloon schipper vanderven rietveld vandorp molenaar verbeek wagenaar zijlstra hermans veldman kooiman terpstra vonk
`;

const everyday = `
  bank geld euro gulden rekening belasting verzekering pensioen loon salaris hypotheek huur betaling afspraak vergadering rapport
  agenda kalender bestand document map archief dossier nummer letter code codes kluis slot deur raam muur dak vloer trap
  keuken badkamer slaapkamer woonkamer zolder kelder tuin schuur garage balkon straat laan plein gracht brug weg snelweg
  station trein bus tram metro fiets bakfiets brommer scooter auto motor vrachtwagen vliegtuig boot schip zeilboot rijbewijs
  kaas boter melk brood eieren suiker zout peper koffie thee water bier wijn jenever cola limonade sap appel peer banaan sinaasappel
  aardbei kers druif citroen meloen perzik pruim framboos bosbes tomaat komkommer wortel aardappel ui knoflook sla spinazie
  boerenkool stamppot hutspot erwtensoep snert hagelslag stroopwafel poffertjes pannenkoek pannenkoeken drop dropje frikandel
  kroket bitterballen patat friet frietje mayonaise pindakaas appeltaart oliebol oliebollen speculaas pepernoten chocolade
  vanille ijsje snoep koek koekje taart soep vis haring vlees kip gehakt worst rookworst rijst pasta pizza
  rood groen blauw geel oranje paars roze zwart wit grijs bruin goud zilver brons regenboog
  nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien twintig honderd duizend miljoen
  eerste tweede derde laatste hoogste grootste beste mooiste liefste leukste
  zon maan ster sterren wolk regen sneeuw ijs wind storm onweer bliksem hagel mist hitte warm warmte koud vuur lucht hemel aarde
  wereld zee strand duin duinen golf golven eiland berg bergen heuvel bos bossen boom bomen blad bloem bloemen roosje tulp tulpen
  narcis zonnebloem madeliefje viool lelie orchidee gras heide polder dijk molen windmolen klomp klompen grachten boerderij koe
  koeien schaap schapen varken geit kippen haan gans zwaan ooievaar uil merel mus kikker vos egel eekhoorn hert
  goed slecht mooi lelijk groot klein lang kort snel langzaam sterk zwak nieuw oud jong blij boos bang verdrietig gelukkig geluk
  gezond ziek rijk arm slim dom leuk lief grappig gek stoer veilig veiligheid vrij vrijheid vrede oorlog kracht macht moed hoop
  geloof waarheid leugen droom dromen leven dood hart ziel geest hoofd hand handen voet voeten oog ogen neus mond haar
  muziek gitaar piano viool drum zingen dansen lezen schrijven tekenen schilderen koken bakken eten drinken slapen lopen rennen
  springen spelen speel winnen verliezen lachen huilen denken weten kennen komen gaan staan zitten liggen maken geven nemen
  houden zien horen voelen ruiken proeven praten zeggen vragen antwoord vraag verhaal boek boeken krant film foto
  televisie radio spel spelletje speelgoed puzzel kaart kaarten bal pop trommel ballon feest feestje cadeau verrassing
  ik jij wij hij zij mijn jouw onze jullie niet geen wel maar want omdat daarom altijd nooit soms vaak misschien natuurlijk
  alles niets iets iemand niemand iedereen samen alleen hier daar overal nergens binnen buiten boven onder links rechts
  ikhouvanjou ikhouvanje houvanjou houvanje jaloers verliefd getrouwd trouwen scheiden
  gemeente ministerie overheid rijksoverheid belastingdienst provincie stadhuis politiek kabinet kamer koninkrijk republiek
  ziekenhuis huisarts apotheek tandarts verpleegkundige zorg onderwijs universiteit hogeschool student docent lesgeven
  bibliotheek museum theater kerk moskee tempel markt winkel supermarkt albertheijn jumbo hema bijenkorf philips shell
  rabobank abnamro postbank telfort vodafone ziggo marktplaats bol coolblue
  godverdomme kut lul klootzak sukkel idioot neuken seks sexy lekker lekkerding biertje dronken
  qwertz azerty abcdef aapnootmies aap noot mies wim zus jet teun vuur gijs lam kees bok weide does hok duif schapen
  geheim123 welkom123 wachtwoord123 hallo123 test123 admin123 welkom2020 welkom2021 welkom2022 welkom2023 welkom2024 welkom2025
`;

const listed = (words: string): readonly string[] => [...new Set(words.trim().split(/\s+/))];

/** By what they are about, each list once and the most tempting first. */
export const DUTCH_WORDS = {
  tempting: listed(tempting),
  calendar: listed(calendar),
  places: listed(places),
  clubs: listed(clubs),
  firstNames: listed(firstNames),
  familyNames: listed(familyNames),
  everyday: listed(everyday),
} as const;
