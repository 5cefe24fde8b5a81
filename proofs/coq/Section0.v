(* Section 0 of docs/theory.md: values and visitations exist and are unique; the performance difference lemma;
   monotonicity and the maximum principle; what visits what. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Claims.
From BOMRL Require Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* ---- least fixed point of x = b + g K x, by monotone iteration -------------------------------------------- *)
Section LeastFixedPoint.
Variables (I : finType) (b : I -> R) (g : R) (K : I -> I -> R) (B : R).
Hypotheses (b0 : forall i, 0 <= b i) (g0 : 0 <= g) (K0 : forall i j, 0 <= K i j).

Fixpoint iter_fix (k : nat) : I -> R :=
  if k is S k' then fun i => b i + g * Sum (fun j => K i j * iter_fix k' j)
  else fun _ => 0.

Hypothesis bnd : forall k i, iter_fix k i <= B.

Lemma iter_ge0 k i : 0 <= iter_fix k i.
Proof.
elim: k i => [|k IH] i /=; first lra.
have : 0 <= g * Sum (fun j => K i j * iter_fix k j).
  apply: Rmult_le_pos => //; apply: sum_ge0 => j; exact: Rmult_le_pos.
by have := b0 i; lra.
Qed.

Lemma iter_grow k i : iter_fix k i <= iter_fix (S k) i.
Proof.
elim: k i => [|k IH] i; first exact: iter_ge0.
rewrite [iter_fix (S k) i]/= [iter_fix (S (S k)) i]/=.
apply: Rplus_le_compat_l; apply: Rmult_le_compat_l => //.
by apply: sum_le => j; apply: Rmult_le_compat_l => //; apply: IH.
Qed.

Lemma iter_ub i : has_ub (fun k => iter_fix k i).
Proof. by exists B => _ [k ->]. Qed.

Definition fixpt (i : I) : R :=
  proj1_sig (growing_cv (fun k => iter_fix k i) (fun k => iter_grow k i) (iter_ub i)).

Lemma fixpt_cv i : Un_cv (fun k => iter_fix k i) (fixpt i).
Proof. by rewrite /fixpt; case: growing_cv. Qed.

Lemma Un_cv_const c : Un_cv (fun _ => c) c.
Proof. by move=> e e0; exists 0%N => n _; rewrite /R_dist Rminus_diag_eq // Rabs_R0. Qed.

Lemma fixptE i : fixpt i = b i + g * Sum (fun j => K i j * fixpt j).
Proof.
apply: (UL_sequence (fun k => iter_fix (S k) i)).
  move=> e e0; have [N HN] := fixpt_cv i e0.
  by exists N => n nN; apply: HN; apply: Nat.le_trans nN _; apply: Nat.le_succ_diag_r.
apply: (CV_plus (fun _ => b i) (fun k => g * Sum (fun j => K i j * iter_fix k j))).
  exact: Un_cv_const.
apply: (CV_mult (fun _ => g)); first exact: Un_cv_const.
apply: (@sum_cv I (fun k j => K i j * iter_fix k j)) => j.
by apply: (CV_mult (fun _ => K i j)); [exact: Un_cv_const | exact: fixpt_cv].
Qed.

End LeastFixedPoint.

Section OneTask.
Variables (S A : finType) (M : mdp S A).
Notation g := (discount M).
Implicit Types (pi : policy S A) (V nu x : S -> R).

Let g0 : 0 <= g := discount_ge0 M.
Let g1 : g < 1 := discount_lt1 M.

Lemma start_inhabited : inhabited S.
Proof. exact: dist_inhabited (start M). Qed.

Lemma Ppi_ge0 pi s s' : 0 <= Ppi M pi s s'.
Proof. by apply: sum_ge0 => a; apply: Rmult_le_pos; apply: prob_ge0. Qed.

Lemma Ppi_sum1 pi s : Sum (Ppi M pi s) = 1.
Proof.
rewrite /Ppi /inner sum_exch -(prob_sum1 (pi s)); apply: sum_ext => a.
by rewrite sumZl prob_sum1 Rmult_1_r.
Qed.

Lemma Ppi_point (b : S -> A) s s' : Ppi M (fun s => point (b s)) s s' = P M s (b s) s'.
Proof. exact: inner_point. Qed.

(* The expected reward of a policy, and T_pi V = r_pi + gamma P_pi V. *)
Definition rpi pi s := inner (pi s) (reward M s).

Lemma TpiE pi V s : Tpi M pi V s = rpi pi s + g * Sum (fun s' => Ppi M pi s s' * V s').
Proof.
rewrite /Tpi /Q innerD innerZ; congr (_ + g * _).
rewrite /inner (sum_ext (g := fun a => Sum (fun s' => pi s a * P M s a s' * V s'))).
  by rewrite sum_exch; apply: sum_ext => s'; rewrite sumZr.
by move=> a; rewrite -sumZl; apply: sum_ext => s'; ring.
Qed.

Lemma TpiB pi V V' s : Tpi M pi V s - Tpi M pi V' s = g * Sum (fun s' => Ppi M pi s s' * (V s' - V' s')).
Proof.
rewrite !TpiE (sum_ext (f := fun s' => _ * (V s' - _)) (g := fun s' => Ppi M pi s s' * V s' - Ppi M pi s s' * V' s')).
  by rewrite sumB; ring.
by move=> s'; ring.
Qed.

Lemma Ppi_le_const pi s x c : (forall s', x s' <= c) -> Sum (fun s' => Ppi M pi s s' * x s') <= c.
Proof.
move=> H; have -> : c = Sum (fun s' => Ppi M pi s s' * c) by rewrite sumZr Ppi_sum1; ring.
by apply: sum_le => s'; apply: Rmult_le_compat_l => //; apply: Ppi_ge0.
Qed.

Lemma Ppi_ge_const pi s x c : (forall s', c <= x s') -> c <= Sum (fun s' => Ppi M pi s s' * x s').
Proof.
move=> H; have -> : c = Sum (fun s' => Ppi M pi s s' * c) by rewrite sumZr Ppi_sum1; ring.
by apply: sum_le => s'; apply: Rmult_le_compat_l => //; apply: Ppi_ge0.
Qed.

(* ---- maximum principle and monotonicity ------------------------------------------------------------------- *)

(* A vector that is nowhere larger than its discounted average plus m is at most m/(1-gamma). *)
Theorem maximum_principle pi x m :
  (forall s, x s <= m + g * Sum (fun s' => Ppi M pi s s' * x s')) -> forall s, x s <= m / (1 - g).
Proof.
move=> H s; have [i top] := largest_attained x start_inhabited.
have L : x i <= m + g * x i.
  apply: Rle_trans (H i) _; apply: Rplus_le_compat_l; apply: Rmult_le_compat_l => //.
  by apply: Ppi_le_const => s'; rewrite -top; apply: largest_ge.
apply: Rle_trans (largest_ge x s) _; rewrite top.
by apply: (Rmult_le_reg_l (1 - g)); [lra | rewrite /Rdiv -Rmult_assoc Rinv_r_simpl_m; lra].
Qed.

(* V <= T_pi V + m implies V <= V^pi + m/(1-gamma); with m = 0 monotonicity. *)
Theorem almost_improving pi V Vpi m :
  Bellman M pi Vpi -> (forall s, V s <= Tpi M pi V s + m) -> forall s, V s <= Vpi s + m / (1 - g).
Proof.
move=> B H s; have := @maximum_principle pi (fun s => V s - Vpi s) m _ s.
suff X : forall s, V s - Vpi s <= m + g * Sum (fun s' => Ppi M pi s s' * (V s' - Vpi s')).
  by move=> /(_ X); lra.
by move=> s1; rewrite -TpiB -B; have := H s1; lra.
Qed.

Theorem monotonicity pi V Vpi :
  Bellman M pi Vpi -> (forall s, V s <= Tpi M pi V s) -> forall s, V s <= Vpi s.
Proof.
move=> B H s; have := @almost_improving pi V Vpi 0 B _ s; rewrite /Rdiv Rmult_0_l Rplus_0_r.
by apply=> s1; rewrite Rplus_0_r.
Qed.

Theorem monotonicity_above pi V Vpi :
  Bellman M pi Vpi -> (forall s, Tpi M pi V s <= V s) -> forall s, Vpi s <= V s.
Proof.
move=> B H s; have := @maximum_principle pi (fun s => Vpi s - V s) 0 _ s; rewrite /Rdiv Rmult_0_l.
suff X : forall s, Vpi s - V s <= 0 + g * Sum (fun s' => Ppi M pi s s' * (Vpi s' - V s')).
  by move=> /(_ X); lra.
by move=> s1; rewrite -TpiB -B; have := H s1; lra.
Qed.

(* Bellman's optimality condition means what it should: no policy has a larger value anywhere. *)
Theorem optimal_value V : (forall s a, Q M V s a <= V s) ->
  forall pi Vpi, Bellman M pi Vpi -> forall s, Vpi s <= V s.
Proof. by move=> O pi Vpi B; apply: (monotonicity_above B) => s; apply: inner_le_const => a; apply: O. Qed.

Theorem value_unique pi V V' : Bellman M pi V -> Bellman M pi V' -> forall s, V s = V' s.
Proof.
move=> B B' s; apply: Rle_antisym.
  by apply: (monotonicity B') => s1; rewrite {1}B; lra.
by apply: (monotonicity B) => s1; rewrite {1}B'; lra.
Qed.

(* ---- visitation -------------------------------------------------------------------------------------------- *)

Lemma flow_dual pi nu (f : S -> R) : Flow M pi nu ->
  Sum (fun s => nu s * f s)
  = (1 - g) * Sum (fun s => start M s * f s)
    + g * Sum (fun s => nu s * Sum (fun s' => Ppi M pi s s' * f s')).
Proof.
move=> fl; rewrite (sum_ext (g := fun s' => (1 - g) * (start M s' * f s')
    + g * (f s' * Sum (fun s => nu s * Ppi M pi s s')))); last first.
  by move=> s'; rewrite {1}fl; ring.
rewrite sumD !sumZl; congr (_ + g * _).
rewrite (sum_ext (g := fun s' => Sum (fun s => nu s * (Ppi M pi s s' * f s')))).
  by rewrite sum_exch; apply: sum_ext => s; rewrite sumZl.
by move=> s'; rewrite -sumZl; apply: sum_ext => s; ring.
Qed.

Lemma flow_sum1 pi nu : Flow M pi nu -> Sum nu = 1.
Proof.
move=> fl; have := flow_dual (fun _ => 1) fl.
have E h : Sum (fun s : S => h s * 1) = Sum h by apply: sum_ext => s; ring.
rewrite !E prob_sum1.
rewrite (sum_ext (f := fun s => nu s * _) (g := nu)); last first.
  by move=> s; rewrite (E (Ppi M pi s)) Ppi_sum1 Rmult_1_r.
move=> H; have : (1 - g) * (Sum nu - 1) = 0 by nra.
by case/Rmult_integral; lra.
Qed.

(* A nonnegative x <= gamma x P_pi vanishes. *)
Lemma sub_flow0 pi x :
  (forall s, 0 <= x s) -> (forall s', x s' <= g * Sum (fun s => x s * Ppi M pi s s')) -> forall s, x s = 0.
Proof.
move=> x0 H; apply: sum_eq0 => //.
have L : Sum x <= g * Sum x.
  have -> : g * Sum x = Sum (fun s' => g * Sum (fun s => x s * Ppi M pi s s')).
    rewrite sumZl sum_exch; congr (g * _); apply: sum_ext => s.
    by rewrite sumZl Ppi_sum1; ring.
  exact: sum_le.
have S0 := sum_ge0 x0; have G := g1.
case: (Rle_lt_or_eq_dec _ _ S0) => // xp.
have : 0 < (1 - g) * Sum x by apply: Rmult_lt_0_compat; lra.
lra.
Qed.

Lemma flow_ge0 pi nu : Flow M pi nu -> forall s, 0 <= nu s.
Proof.
move=> fl; pose n s := Rmax 0 (- nu s).
have n0 s : 0 <= n s by apply: Rmax_l.
have nn s : - nu s <= n s by apply: Rmax_r.
suff H s : n s = 0 by move=> s; have := nn s; rewrite H; lra.
apply: (@sub_flow0 pi) => // s'.
have T0 : 0 <= g * Sum (fun s => n s * Ppi M pi s s').
  apply: Rmult_le_pos => //; apply: sum_ge0 => s1.
  by apply: Rmult_le_pos => //; apply: Ppi_ge0.
apply: Rmax_lub => //; rewrite fl.
have r0 : 0 <= (1 - g) * start M s' by apply: Rmult_le_pos; [lra | apply: prob_ge0].
have : g * Sum (fun s => - nu s * Ppi M pi s s') <= g * Sum (fun s => n s * Ppi M pi s s').
  apply: Rmult_le_compat_l => //; apply: sum_le => s1.
  by apply: Rmult_le_compat_r; [apply: Ppi_ge0 | apply: nn].
rewrite (sum_ext (f := fun s => - nu s * _)
                 (g := fun s => (-1) * (nu s * Ppi M pi s s'))); last by move=> ?; ring.
by rewrite sumZl; lra.
Qed.

Theorem visitation_unique pi nu nu' : Flow M pi nu -> Flow M pi nu' -> forall s, nu s = nu' s.
Proof.
move=> f1 f2; pose d s := Rabs (nu s - nu' s).
suff H s : d s = 0.
  by move=> s; have := H s; rewrite /d; case: (Rcase_abs (nu s - nu' s)) => h;
     [rewrite Rabs_left // | rewrite Rabs_right //]; lra.
apply: (@sub_flow0 pi) => [s1|s']; first exact: Rabs_pos.
rewrite /d f1 f2.
have -> : forall c a b, c + g * a - (c + g * b) = g * (a - b) by move=> *; ring.
rewrite -sumB Rabs_mult (Rabs_pos_eq g) //; apply: Rmult_le_compat_l => //.
apply: Rle_trans (sum_abs_le _) _; apply: sum_le => s1.
have -> : nu s1 * Ppi M pi s1 s' - nu' s1 * Ppi M pi s1 s' = (nu s1 - nu' s1) * Ppi M pi s1 s' by ring.
by rewrite Rabs_mult (Rabs_pos_eq (Ppi _ _ _ _)); [lra | apply: Ppi_ge0].
Qed.

Lemma flow_ge_start pi nu : Flow M pi nu -> forall s, (1 - g) * start M s <= nu s.
Proof.
move=> fl s; rewrite fl; have n0 := flow_ge0 fl.
suff : 0 <= g * Sum (fun s1 => nu s1 * Ppi M pi s1 s) by lra.
by apply: Rmult_le_pos => //; apply: sum_ge0 => s1; apply: Rmult_le_pos => //; apply: Ppi_ge0.
Qed.

(* A policy with full support visits every state that any policy visits. *)
Theorem full_support_visits pi pi' nu nu' :
  (forall s a, 0 < pi s a) -> Flow M pi nu -> Flow M pi' nu' -> forall s, 0 < nu' s -> 0 < nu s.
Proof.
move=> full fl fl' s; have n0 := flow_ge0 fl; have n0' := flow_ge0 fl'.
case: (Rle_lt_or_eq_dec _ _ (n0 s)) => // Z pos; exfalso.
pose x s1 := if Req_EM_T (nu s1) 0 then nu' s1 else 0.
suff X : forall s1, x s1 = 0 by have := X s; rewrite /x; case: Req_EM_T => /= [h ?|N _]; [lra | apply: N; lra].
apply: (@sub_flow0 pi') => s1; first by rewrite /x; case: Req_EM_T => /= h; have := n0' s1; lra.
have R0 : 0 <= g * Sum (fun s => x s * Ppi M pi' s s1).
  apply: Rmult_le_pos => //; apply: sum_ge0 => s2; apply: Rmult_le_pos; last exact: Ppi_ge0.
  by rewrite /x; case: Req_EM_T => /= h; have := n0' s2; lra.
rewrite {1}/x; case: Req_EM_T => /= E //.
have := flow_ge_start fl s1; rewrite E => st0.
have {}st0 : start M s1 = 0.
  have := prob_ge0 (start M) s1 => p0; apply: Rle_antisym => //.
  by apply: (Rmult_le_reg_l (1 - g)); lra.
rewrite fl' st0 Rmult_0_r Rplus_0_l; case: (Req_EM_T g 0) => [->|gn0]; first by rewrite !Rmult_0_l; lra.
apply: Rmult_le_compat_l => //; apply: sum_le => s2; rewrite /x; case: Req_EM_T => /= N; first lra.
suff -> : Ppi M pi' s2 s1 = 0 by lra.
have F0 : Ppi M pi s2 s1 = 0.
  have F : g * Sum (fun s => nu s * Ppi M pi s s1) = 0 by move: (fl s1); rewrite E st0; lra.
  have {}F : Sum (fun s => nu s * Ppi M pi s s1) = 0 by case/Rmult_integral: F.
  have pos0 s3 : 0 <= nu s3 * Ppi M pi s3 s1 by apply: Rmult_le_pos => //; apply: Ppi_ge0.
  by have /Rmult_integral[] := sum_eq0 pos0 F s2.
rewrite -(sum_0 A); apply: sum_ext => a.
suff -> : P M s2 a s1 = 0 by ring.
have pos0 b : 0 <= pi s2 b * P M s2 b s1 by apply: Rmult_le_pos; apply: prob_ge0.
by have /Rmult_integral[E2|//] := sum_eq0 pos0 F0 a; have := full s2 a; lra.
Qed.

(* ---- existence ------------------------------------------------------------------------------------------- *)

Section Visitation.
Variable pi : policy S A.
Let b s := (1 - g) * start M s.
Let K s' s := Ppi M pi s s'.
Let b0 s : 0 <= b s. Proof. by apply: Rmult_le_pos; [lra | apply: prob_ge0]. Qed.
Let K0 s' s : 0 <= K s' s. Proof. exact: Ppi_ge0. Qed.

Lemma visit_mass k : Sum (iter_fix b g K k) <= 1.
Proof.
elim: k => [|k IH] /=; first by rewrite sum_0; lra.
rewrite sumD !sumZl prob_sum1 sum_exch.
rewrite (sum_ext (g := iter_fix b g K k)); first by nra.
by move=> s; rewrite sumZr Ppi_sum1; ring.
Qed.

Lemma visit_bnd k s : iter_fix b g K k s <= 1.
Proof. by apply: Rle_trans (visit_mass k); apply: sum_ge_term => j; apply: iter_ge0. Qed.

Definition visitation : S -> R := fixpt b0 g0 K0 visit_bnd.

Theorem visitation_exists : Flow M pi visitation.
Proof.
move=> s'; rewrite {1}/visitation fixptE; congr (_ + g * _); apply: sum_ext => s.
by rewrite Rmult_comm.
Qed.
End Visitation.

Section Value.
Variable pi : policy S A.
Let c := Sum (fun s => Rabs (rpi pi s)).
Let b s := rpi pi s + c.
Let B := (2 * c) / (1 - g).
Let absle s : Rabs (rpi pi s) <= c.
Proof. by apply: (@sum_ge_term S (fun s => Rabs (rpi pi s))) => j; apply: Rabs_pos. Qed.
Let b0 s : 0 <= b s.
Proof. by have := absle s; rewrite /b; have := Rle_abs (- rpi pi s); rewrite Rabs_Ropp; lra. Qed.
Let K0 s s' : 0 <= Ppi M pi s s'. Proof. exact: Ppi_ge0. Qed.
Let c0 : 0 <= c. Proof. by apply: sum_ge0 => s; apply: Rabs_pos. Qed.
Let BE : 2 * c + g * B = B. Proof. by rewrite /B; field; lra. Qed.

Lemma value_bnd k s : iter_fix b g (Ppi M pi) k s <= B.
Proof.
elim: k s => [|k IH] s /=.
  by rewrite /B; apply: Rmult_le_pos; [lra | apply/Rlt_le/Rinv_0_lt_compat; lra].
rewrite -BE; apply: Rplus_le_compat.
  by rewrite /b; have := absle s; have := Rle_abs (rpi pi s); lra.
by apply: Rmult_le_compat_l => //; apply: Ppi_le_const.
Qed.

Definition value : S -> R := fun s => fixpt b0 g0 K0 value_bnd s - c / (1 - g).

Theorem value_exists : Bellman M pi value.
Proof.
move=> s; rewrite TpiE {1}/value fixptE /value.
rewrite (sum_ext (f := fun s' => Ppi M pi s s' * (_ - _)) (g := fun s' =>
  Ppi M pi s s' * fixpt b0 g0 K0 value_bnd s' - Ppi M pi s s' * (c / (1 - g)))); last first.
  by move=> s'; ring.
by rewrite sumB sumZr Ppi_sum1 /b; field; lra.
Qed.
End Value.

(* ---- performance difference lemma ------------------------------------------------------------------------- *)

(* For any vector v in place of a value: sum nu^pi (T_pi v - v) = (1-gamma) (J(pi) - rho v). *)
Theorem performance_difference_vector pi Vpi nu v : Bellman M pi Vpi -> Flow M pi nu ->
  Sum (fun s => nu s * (Tpi M pi v s - v s)) = (1 - g) * (J M Vpi - J M v).
Proof.
move=> B fl.
rewrite (sum_ext (g := fun s => nu s * (Vpi s - v s)
   - g * (nu s * Sum (fun s' => Ppi M pi s s' * (Vpi s' - v s'))))).
  rewrite sumB sumZl (flow_dual (fun s => Vpi s - v s) fl) /J -sumB.
  rewrite (sum_ext (f := fun s => start M s * Vpi s - start M s * v s)
                   (g := fun s => start M s * (Vpi s - v s))); last by move=> s; ring.
  by ring.
by move=> s; have := TpiB pi Vpi v s; rewrite -B => E; nra.
Qed.

Lemma inner_advantage pi (V : S -> R) s : inner (pi s) (fun a => Q M V s a - V s) = Tpi M pi V s - V s.
Proof. by rewrite innerB inner_const. Qed.

(* J(pi) - J(phi) = 1/(1-gamma) sum_s nu^pi(s) <pi(s), A^phi(s,.)>. V need not even be a value. *)
Theorem performance_difference pi Vpi nu V : Bellman M pi Vpi -> Flow M pi nu ->
  J M Vpi - J M V = Sum (fun s => nu s * inner (pi s) (fun a => Q M V s a - V s)) / (1 - g).
Proof.
move=> B fl; rewrite (sum_ext (g := fun s => nu s * (Tpi M pi V s - V s))).
  by rewrite (performance_difference_vector V B fl); field; lra.
by move=> s; rewrite inner_advantage.
Qed.

End OneTask.

(* ---- the registry's theorem ------------------------------------------------------------------------------- *)

Theorem performance_difference_case : performance_difference_claim.
Proof.
move=> T S A c _ tau; rewrite /performance_difference_left /performance_difference_bound.
rewrite /Constant.improvement (performance_difference (V_phi c tau) (V_plus_def c tau) (visit_plus_def c tau)).
rewrite discount_is_common; congr (_ / _); apply: sum_ext => s; exact: Rmult_comm.
Qed.

(* ---- cases -------------------------------------------------------------------------------------------------- *)

(* A case from its data alone: values and visitations are computed, comparators are left at the meta-policy. *)
Section Build.
Variables (Tasks S A : finType) (weight : dist Tasks) (task : Tasks -> mdp S A) (gamma lambda : R).
Hypotheses (same : forall tau, discount (task tau) = gamma) (lambda_gt0 : 0 < lambda).
Variables (method : algorithm) (meta : policy S A) (adapted : Tasks -> policy S A) (best : Tasks -> S -> A).
Hypotheses (meta_gt0 : forall s a, 0 < meta s a) (adapted_gt0 : forall tau s a, 0 < adapted tau s a).
Notation star tau := (fun s => point (best tau s)).
Hypothesis optimal : forall tau s a, Q (task tau) (value (task tau) (star tau)) s a <= value (task tau) (star tau) s.

Definition build : case Tasks S A :=
  @Case Tasks S A weight task gamma same lambda lambda_gt0 method meta meta_gt0 adapted adapted_gt0 best
    _ (fun tau => value_exists (task tau) meta) _ (fun tau => value_exists (task tau) (adapted tau))
    _ (fun tau => value_exists (task tau) (star tau)) optimal
    _ (fun tau => visitation_exists (task tau) meta) _ (fun tau => visitation_exists (task tau) (adapted tau))
    _ (fun tau => visitation_exists (task tau) (star tau))
    (fun _ _ => 1) (fun _ _ => Rlt_0_1) (fun _ _ => Rle_refl 1)
    (fun _ _ => 0) (fun _ _ => Rle_refl 0) (fun _ _ _ => erefl).

End Build.
