"""The words of a response that may be shown: English as error messages use it.

Add no name of a person, and no word that occurs only in the data of contacts. A word that is missing is shown as
``***``, which is safe; add it if the service's messages use it.
"""

from __future__ import annotations

_WORDS = """
a about above accept acceptable accepted accepts access account accounts ack acknowledged action active added additional
address admin administrator after again all allow allowed allows already also although always an and another any api
applied are argument arguments array as ask at attempt attempts attribute attributes auth authenticate authenticated
authentication authorization authorized available away back backend bad balance base basic batch be because been before
begin being below best between beyond blank block blocked body boolean both broken busy but by bytes call called callee
callees caller calls campaign campaigns can can't cancel canceled cancelled cannot certificate change changed character
characters charset check checked choose city client close closed code codec column columns comma company complete
completed concurrent conflict conflicts connect connected connection contact contacts contain contained containing
contains content contents control correct correctly could couldn't count country create created creating credential
credentials credit credits csv current currently customer daily data database date dates day days deadline declined
default defined delayed delete deleted delimiter denied description destination destinations detail details detected
dial dialed dialer dialing did didn't different digit digits disabled disk document documentation does doesn't don't
done double down due duplicate duplicated duplicates duration during each either element elements else email empty
enabled encoded encoding end ended ends enough enqueued entity entries entry err error errors essential even every
exceed exceeded exceeds except exception exist existing exists expected expiration expire expired expires extension
extra fail failed fails failure false fatal fault feature fetch few field fields file filename files first fix flag
follow following for forbidden form format formats found free from full function gateway general get given gone got
greater group had handle handled has have haven't header headers help here hipaa hold host hour hours how however html
http https id identical identified identifier ids if ignored illegal immediately in inactive include included includes
including incomplete incorrect index info information input instead insufficient integer internal interval intervals
into invalid is isn't issue issues it item items its job json keep key keys kind known large larger last later least
left length less letters level license like limit limited limits line lines link list lists load local locked log logged
login long longer lookup lost lower made maintenance make malformed manager manual many match matches max maximum may
maybe media member members memory message messages method min minimum minute minutes misconfigured mismatch missing mode
module moment month monthly more most much multipart multiple must name named names need needed needs neither network
never new next no nok none nor not note nothing notice now null number numbers numeric object of off offline ok okay on
once one only open operation operator option optional options or order other others our out outbound outcome output
outside over overloaded own page param parameter parameters params parse parsed parser parsing part partial parts
password past path pause paused payload payment pci pending per period permission permissions permitted phase phone pin
plan platform please point policy pool port position possible post posted prefix present prevent previous problem
problems process processed processing product profile prohibited property protected protocol provide provided provider
proxy public put query queue queuecall queuecalls queued queues quota quote quoted quotes range rate rather reach
reached read reading ready really reason reasons receive received recipient recipients record records redirect ref
reference references refs refused region register registered reject rejected rejects relative remaining remote remove
removed repeat repeated replace reply report request requested requests require required requires reserved reset
resource resources response responses rest restricted result results retried retries retry return returned returns role
root row rows rule rules run running runtime same save saved schedule scheduled schema scheme script second seconds
section secure security see seems select send sender sending sent separate separator sequence server service services
session set setting settings several shall short should since single size skip skipped slow small smaller so software
some something soon space spaces special specified specify sql ssl start started starting starts state statement status
still stop stopped storage store stored string submitted succeeded success successful successfully such suitable summary
supplied support supported suspended syntax system systems table taken task tel telephone temporarily temporary
terminated test text than that the their them then there therefore these they this those though thousand through time
timed timeout times timestamp title tls to today token too total transaction transfer trial tried true try trying twice
type types unable unauthorized unavailable unchanged undefined under unexpected unexpectedly unique unit unknown unless
unprocessable unreachable unreadable unrecognized unsafe unsigned unsuccessful unsupported until unused up update
updated upgrade upload uploaded upper uri url urls usage use used user username users uses using valid validate
validated validation value values variable verified verify version very via violation voice vxml wait waiting want
warning warnings was wasn't way we web webhook webservice week were what when where whether which while whole why will
window with within without won't worker would write written wrong xml yes yet you your zero zone
"""
ALLOWED_WORDS = frozenset(_WORDS.split())
